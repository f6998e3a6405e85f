/** The skin dose on the body of the room view: on or off, where to look from, and the peak's ring and number. */

import { signal } from "@preact/signals";

import { adaptive } from "../room/format";
import type { PeakSeen } from "../room/scene3d";
import { cellNormal } from "../room/skinmap";
import { skinChoice, skinKnown, skinOf, skinOn, skinReadable, skinTurned, skinView } from "../room/skinmapdata";
import { barGradient, scaleTop, tickText } from "../room/skinmapscale";
import { follow, near, status } from "../room/state";
import "../styles/dosemaps.css";

const peak = signal<PeakSeen | null>(null);

/** The scene was drawn: the ring goes where the peak is seen. */
export function showPeak(now: PeakSeen | null): void {
  const before = peak.peek();
  if (before === now) return;
  if (before !== null && now !== null && before.facing === now.facing && Math.hypot(before.x - now.x, before.y - now.y) < 0.5) return;
  peak.value = now;
}

export function SkinPeak() {
  const at = peak.value;
  const doses = skinKnown.value?.doses ?? null;
  if (at === null || doses === null || doses.peak_index === null) return null;
  const mgy = doses.dose_mgy[doses.peak_index] ?? 0;
  return (
    <>
      <span class={`skin-peak ${at.facing ? "" : "is-behind"} ${at.right ? "is-right" : ""}`} style={{ left: `${at.x}px`, top: `${at.y}px` }} aria-hidden="true">
        <span>{adaptive(mgy)} mGy{!at.facing && <><br />far side</>}</span>
      </span>
      <div class="skin-key" role="img" aria-label={`Colours from 0 to ${tickText(scaleTop(mgy))} mGy`}>
        <span>0</span><i style={{ background: barGradient("to right") }} /><span>{tickText(scaleTop(mgy))} mGy</span>
      </div>
    </>
  );
}

const FACES = [["Back", 0], ["Left", 90], ["Front", 180], ["Right", 270]] as const;

/** Look straight at the peak, whatever side of the body it is on. */
export function turnToPeak(): void {
  const known = skinKnown.peek();
  const cell = known?.doses.peak_index ?? null;
  if (known === null || cell === null) return;
  const [x, y] = cellNormal(known.shape, cell);
  near.value = false;
  skinChoice.value = true;
  skinView.value = { around_deg: (Math.atan2(x, y) * 180) / Math.PI, tilt_deg: 0, cell };
}

/** Turn the body under the hand. */
export function turnSkin(aroundDeg: number, tiltDeg: number): void {
  const view = skinView.peek();
  if (view === null) return;
  skinView.value = { ...view, around_deg: view.around_deg + aroundDeg, tilt_deg: Math.min(75, Math.max(-75, view.tilt_deg + tiltDeg)) };
}

export function SkinButtons() {
  follow(status.value);
  const skin = skinReadable.value ?? skinOf(status.peek());
  if (skin === null || !(skin.peak_mgy > 0)) return null;
  const on = skinOn.value;
  const turned = skinTurned.value !== null;
  return (
    <div class="skin-buttons" role="group" aria-label="Skin dose on the body">
      <div class="views">
        <button type="button" class={on ? "is-on" : ""} aria-pressed={on} onClick={() => {
          skinChoice.value = !on;
          skinView.value = null;
        }}>Skin dose {on ? "on" : "off"}</button>
        <button type="button" class={turned ? "is-on" : ""} disabled={!on || skinKnown.value === null} onClick={() => {
          if (turned) skinView.value = null;
          else turnToPeak();
        }}>{turned ? "Whole room" : "Turn to the peak"}</button>
      </div>
      {turned && (
        <div class="views" role="group" aria-label="Look at the patient's side">
          {FACES.map(([name, around]) => (
            <button type="button" key={name} onClick={() => (skinView.value = { around_deg: around, tilt_deg: 0, cell: null })}>{name}</button>
          ))}
        </div>
      )}
    </div>
  );
}
