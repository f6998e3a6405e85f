/** Scatter to the people around the table, for the C-arm as it stands: a plan from above and a table. */

import { effect } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";

import { readable, status } from "../room/state";
import { drawStaff } from "../room/staffdraw";
import { changeText, planOf, rateText, soundStaff, staffKey, type StaffDose } from "../room/staffmap";
import "../styles/dosemaps.css";

const EVERY_MS = 1000;
const AGAIN_MS = 3000;
const MOST_HEIGHT_PX = 560;
/** Height of all that is said here, kept free while it is asked for: what stands below keeps its place. */
const EXPECTED_HEIGHT_PX = 1100;
let lastHeightPx = EXPECTED_HEIGHT_PX;

export function StaffMap() {
  const place = useRef<HTMLElement>(null);
  /** Undefined until the first answer. */
  const [staff, setStaff] = useState<StaffDose | null | undefined>(undefined);
  useEffect(() => {
    if (staff && place.current !== null) lastHeightPx = place.current.offsetHeight;
  });
  useEffect(() => (place.current === null ? undefined : followStaff(place.current, setStaff)), []);
  const now = readable.value;
  const standing = (now?.room ?? null) !== null && (now?.table ?? null) !== null;
  return (
    <section class="staffmap" aria-label="Scatter to the staff" ref={place}>
      <h3>Staff: scatter around the table</h3>
      {!standing ? <p class="hint">No C-arm stands here: a recorded clip does not say where people were.</p>
        : staff === undefined ? <p class="hint" style={{ minHeight: `${lastHeightPx}px` }}>The scatter is being asked for.</p>
        : staff === null ? <p class="hint">This room does not tell the scatter.</p> : <Known staff={staff} />}
    </section>
  );
}

/** Fetch what `place` shows when the room changed, at most once a second, only while it can be seen; returns how to end. */
function followStaff(place: HTMLElement, take: (staff: StaffDose | null) => void): () => void {
  let seen = false;
  let have = "";
  let asking = false;
  let notBeforeMs = -Infinity;
  const check = (): void => {
    const now = status.peek();
    if (now === null || now.room === null || !seen || asking || document.hidden || performance.now() < notBeforeMs) return;
    const wanted = staffKey(now);
    if (wanted === have) return;
    asking = true;
    void fetchStaff().then((staff) => {
      asking = false;
      notBeforeMs = performance.now() + (staff === null ? AGAIN_MS : EVERY_MS);
      have = staff === null ? "" : wanted;
      take(staff);
    });
  };
  const stop = effect(() => {
    if (status.value !== null) check();
  });
  const watch = new IntersectionObserver((entries) => {
    seen = entries.at(-1)?.isIntersecting === true;
    check();
  });
  watch.observe(place);
  return () => {
    stop();
    watch.disconnect();
  };
}

async function fetchStaff(): Promise<StaffDose | null> {
  try {
    const answer = await fetch("/room/staff.json");
    if (!answer.ok) return null;
    const staff = (await answer.json()) as StaffDose;
    return soundStaff(staff) ? staff : null;
  } catch {
    return null;
  }
}

function Known({ staff }: { staff: StaffDose }) {
  const canvasRef = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [chosen, setChosen] = useState<number | null>(null);
  useEffect(() => {
    const canvas = canvasRef.current;
    if (canvas === null) return;
    const watch = new ResizeObserver(() => setWidth(canvas.clientWidth));
    watch.observe(canvas);
    return () => watch.disconnect();
  }, []);
  const { room = null, table = null } = readable.value ?? {};
  const key = JSON.stringify([room, table, width, chosen]);
  useEffect(() => {
    const canvas = canvasRef.current;
    const context = canvas?.getContext("2d");
    if (canvas === null || !context || width < 60 || room === null || table === null) return;
    const ratio = Math.min(2, window.devicePixelRatio || 1);
    const plan = planOf(staff, width, MOST_HEIGHT_PX);
    canvas.width = Math.round(plan.width * ratio);
    canvas.height = Math.round(plan.height * ratio);
    canvas.style.height = `${plan.height}px`;
    drawStaff(context, ratio, plan, staff, { room, table }, chosen);
  }, [staff, key]);
  const { height_cm: height, height: part } = staff.map;
  const percent = staff.positions[0]?.uncertainty_percent ?? null;
  return (
    <>
      <p class="dosemap-note"><span class="dosemap-estimate">estimate{percent === null ? "" : ` ± ${percent} %`}</span> Head end up. Tube {staff.tube_side}. Bands in µSv/h{height === undefined ? "" : `, ${part ?? "map"} height ${height} cm`}.</p>
      <canvas ref={canvasRef} class="dosemap-canvas staff-canvas" role="img"
        aria-label={`Plan of the room from above with bands of scatter; the table below tells the ${staff.positions.length} places. Tube ${staff.tube_side}.`} />
      {staff.advice !== "" && <p class="dosemap-read">{sentence(staff.advice)}</p>}
      <table class="staff-table">
        <thead><tr><th scope="col">Place</th><th scope="col">µSv/h</th><th scope="col">µSv/h with apron</th><th scope="col">µSv so far</th></tr></thead>
        <tbody>
          {staff.positions.map((position, i) => (
            <tr key={position.name} class={i === chosen ? "is-on" : ""} onPointerEnter={() => setChosen(i)} onPointerLeave={() => setChosen(null)}>
              <td><b>{i + 1}</b> {position.name}</td>
              <td>{rateText(position.usv_per_h)}</td>
              <td>{rateText(position.with_apron_usv_per_h)}</td>
              <td>{rateText(position.usv_so_far)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <Effects staff={staff} />
      <p class="dosemap-note">Left and right are the table's: those of a patient on the back, head first. So far: without the apron. {sentence(staff.source)}</p>
    </>
  );
}

/** What a shield, lead or a step would change for the one who stands worst. */
function Effects({ staff }: { staff: StaffDose }) {
  const [first] = staff.effects ?? [];
  if (first === undefined) return null;
  return (
    <table class="staff-table">
      <thead><tr><th scope="col">{sentence(first.where).slice(0, -1)}, now {rateText(first.now_usv_per_h)} µSv/h</th><th scope="col">µSv/h</th><th scope="col">change</th></tr></thead>
      <tbody>
        {(staff.effects ?? []).map((effect) => (
          <tr key={effect.what}><td>{effect.what}</td><td>{rateText(effect.with_usv_per_h)}</td><td>{changeText(effect)}</td></tr>
        ))}
      </tbody>
    </table>
  );
}

/** A sentence begins with a capital and ends with a full stop. */
const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
