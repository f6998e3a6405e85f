/** The skin dose laid flat: where it is, how much, and how well that is known. */

import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import type { SkinStatus } from "../link/dose";
import type { Status } from "../link/types";
import { adaptive, fixed, UNKNOWN } from "../room/format";
import { cellText, csvText, middleFor, peakText, steppedCell, type Middle } from "../room/skinmap";
import { followSkin, skinKnown, skinOf, skinReadable } from "../room/skinmapdata";
import { cellUnder, filePicture, FlatSkin, layOut } from "../room/skinmapdraw";
import { readable, status, tell } from "../room/state";
import { turnToPeak } from "./SkinOnBody";
import "../styles/dosemaps.css";

const MOST_HEIGHT_PX = 440;
/** Of the map before its first answer: that of a lumbar CT. */
const EXPECTED_SHARE = 0.47;
const LEAST_HEIGHT_PX = 152;
/** The map's last height, kept free while one is fetched: what stands below keeps its place. */
let lastHeightPx = 0;
/** What is in the middle: as chosen, else the side of the peak. */
const middleChoice = signal<Middle | null>(null);

export function SkinMap() {
  useEffect(followSkin, []);
  const now = readable.value;
  const skin = skinReadable.value;
  if (now === null) return null;
  return (
    <section class="skinmap" aria-label="Skin dose map">
      <h3>Skin dose</h3>
      {skin === null ? <p class="hint">{emptyWords(now)}</p> : <Known skin={skin} />}
    </section>
  );
}

/** Why there is no map. */
export function emptyWords(now: Status): string {
  if (now.room === null) return "A recorded clip does not say where the beam met the skin: no map.";
  if (skinOf(now) === null && (now.dose.air_kerma_mgy ?? 0) > 0) return "No map: it is not known where the beam met the skin.";
  return "No X-ray yet: the map grows from the first pulse on.";
}

function Known({ skin }: { skin: SkinStatus & { readonly cut?: boolean } }) {
  const known = skinKnown.value;
  const share = skin.share_on_patient;
  return (
    <>
      <dl class="dosemap-figures">
        <div><dt>Peak {skin.estimate && <span class="dosemap-estimate">estimate</span>}</dt><dd class="dosemap-peak">{peakText(skin)}</dd></div>
        <div><dt>Where</dt><dd>{skin.where || UNKNOWN}</dd></div>
        <div><dt>KAP on patient</dt><dd>{share === null ? UNKNOWN : `${fixed(100 * share, 0)} %`}</dd></div>
        <div><dt>Body</dt><dd>{skin.phantom}</dd></div>
      </dl>
      {skin.cut === true && <p class="hint">A part of the body lies outside the CT: there the skin is where the CT ends.</p>}
      {known === null && !(skin.peak_mgy > 0) ? <p class="hint">No dose on the skin yet.</p> : <Flat skin={skin} />}
    </>
  );
}

function Flat({ skin }: { skin: SkinStatus }) {
  const known = skinKnown.value;
  const canvasRef = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [chosen, setChosen] = useState<number | null>(null);
  const shape = known?.shape ?? null;
  const doses = known?.doses ?? null;
  const middle = middleChoice.value ?? (shape === null ? "front" : middleFor(shape, doses?.peak_index ?? null));
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  const flat = useMemo(() => (shape === null || width < 60 ? null : new FlatSkin(layOut(shape, middle, width, MOST_HEIGHT_PX), ratio)), [shape, middle, width, ratio]);
  useEffect(() => {
    const canvas = canvasRef.current;
    if (canvas === null) return;
    const watch = new ResizeObserver(() => setWidth(canvas.clientWidth));
    watch.observe(canvas);
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    if (flat !== null && doses !== null) flat.paint(doses);
  }, [flat, doses]);
  useEffect(() => {
    const canvas = canvasRef.current;
    if (canvas === null || flat === null || doses === null) return;
    canvas.width = Math.round(flat.layout.canvasWidth * ratio);
    canvas.height = Math.round(flat.layout.canvasHeight * ratio);
    const context = canvas.getContext("2d");
    context?.scale(ratio, ratio);
    if (context) flat.draw(context, doses, chosen);
  }, [flat, doses, chosen, ratio]);
  if (flat !== null) lastHeightPx = flat.layout.canvasHeight;
  const heightPx = flat?.layout.canvasHeight ?? (lastHeightPx || Math.max(LEAST_HEIGHT_PX, EXPECTED_SHARE * width));
  const point = (event: PointerEvent): void => {
    const box = canvasRef.current?.getBoundingClientRect();
    if (box === undefined || flat === null) return;
    setChosen(cellUnder(flat.layout, flat.cells, flat.pixelsWide, event.clientX - box.left, event.clientY - box.top));
  };
  return (
    <>
      <div class="dosemap-flat">
        <canvas ref={canvasRef} class="dosemap-canvas" style={{ height: `${heightPx}px` }} role="img" aria-label={`Skin laid flat, head up. Peak ${peakText(skin)}, ${skin.where}.`}
          onPointerMove={point} onPointerDown={point}
          onPointerLeave={(event) => {
            if (event.pointerType === "mouse") setChosen(null);
          }} />
        {/* A slider, so that the arrows are the map's while it has the focus, and the pedal's key stays the pedal's. */}
        {flat !== null && shape !== null && doses !== null && <input type="range" class="dosemap-keys" min={0} max={doses.dose_mgy.length - 1} value={chosen ?? doses.peak_index ?? 0}
          aria-label="Place on the skin: arrow keys go cell by cell, HOME to the peak" aria-valuetext={cellText(shape, doses, chosen ?? doses.peak_index ?? 0)}
          onKeyDown={(event) => {
            const cell = steppedCell(flat.layout.flat, event.key, chosen ?? doses.peak_index ?? 0, doses.peak_index ?? 0);
            if (cell === null || event.ctrlKey || event.altKey || event.metaKey) return;
            event.preventDefault();
            setChosen(cell);
          }} />}
      </div>
      <p class="dosemap-read" aria-live="polite">{shape === null || doses === null ? "The map is being fetched." : chosen === null ? "Point at the skin, or use the arrow keys, to read a place." : cellText(shape, doses, chosen)}</p>
      <div class="views" role="group" aria-label="Middle of the map">
        {(["front", "back"] as const).map((side) => (
          <button type="button" key={side} class={middle === side ? "is-on" : ""} aria-pressed={middle === side} onClick={() => (middleChoice.value = side)}>
            Middle: {side}
          </button>
        ))}
      </div>
      <div class="views" role="group" aria-label="The map elsewhere">
        <button type="button" disabled={known === null} onClick={turnToPeak}>On the body</button>
        <button type="button" disabled={known === null} onClick={() => savePicture(skin, middle)}>PNG</button>
        <button type="button" disabled={known === null} onClick={() => saveTable(skin)}>CSV</button>
      </div>
    </>
  );
}

function about(skin: SkinStatus): readonly string[] {
  const now = status.peek();
  const share = skin.share_on_patient;
  return [
    `Skin dose, ${now?.patient?.name ?? "patient not known"}, ${now?.patient?.position ?? ""}, exam ${now?.exam?.uid ?? UNKNOWN}`,
    `Peak ${peakText(skin)}${skin.estimate ? " (estimate)" : ""}, ${skin.where}; ${share === null ? UNKNOWN : fixed(100 * share, 0)} % of the KAP on the patient`,
    `Air kerma ${adaptive(now?.dose.air_kerma_mgy)} mGy at ${now?.dose.reference_point ?? "a point not named"}`,
    `${now?.simulated === false ? "Recorded" : "Simulated"}, not for clinical use`,
  ];
}

function savePicture(skin: SkinStatus, middle: Middle): void {
  const known = skinKnown.peek();
  if (known === null) return;
  filePicture(known.shape, known.doses, middle, about(skin)).toBlob((blob) => {
    if (blob === null) tell("the picture could not be made", "warning");
    else save(blob, "skin-dose.png");
  }, "image/png");
}

function saveTable(skin: SkinStatus): void {
  const known = skinKnown.peek();
  if (known !== null) save(new Blob([csvText(known.shape, known.doses, skin, about(skin))], { type: "text/csv" }), "skin-dose.csv");
}

function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
