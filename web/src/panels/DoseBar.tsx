/** The dose, readable from two metres, and the next step. */

import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { adaptive, clockText } from "../room/format";
import { skinText } from "../room/dosewords";
import { nextStep, type Step } from "../room/nextstep";
import { openPlanning, placeAtPlan, placeNeedle, storeImage, toggleGuidance, toggleReplay } from "../room/controls";
import { act, link } from "../room/room";
import * as s from "../room/state";
import { askScreening } from "./BeforeExposure";
import { HoldButton } from "./HoldButton";
import { Outlook } from "./Outlook";

function Figure({ name, value, unit, note, className, children }: { name: string; value: string; unit: string; note?: string; className?: string; children?: ComponentChildren }) {
  return (
    <div class={`figure ${className ?? ""}`}>
      <span class="figure-value">{value}<small>{unit}</small></span>
      <span class="figure-name">{name}{note !== undefined && <em>{note}</em>}{children}</span>
    </div>
  );
}

export function DoseBar() {
  const now = s.readable.value;
  const dose = now?.dose ?? null;
  const point = dose === null ? "" : `at ${dose.reference_point}`;
  const acquired = dose?.acquisition_time_s ?? 0;
  const skin = skinText(dose?.skin);
  const highLevel = s.status.value?.dose.control?.limits?.high_level === true;
  return (
    <footer class={`dose ${dose?.control ? "has-outlook" : ""}`} aria-label="Dose">
      <Figure name="Dose rate" value={adaptive(s.connected.value ? dose?.air_kerma_rate_mgy_min : null)} unit="mGy/min"
        note={highLevel ? "HIGH LEVEL" : (dose?.source ?? "")} className={highLevel ? "figure-rate is-high" : "figure-rate"} />
      <Figure name="Air kerma" className="figure-kerma" note={point} value={adaptive(dose?.air_kerma_mgy)} unit="mGy" />
      <Figure name="KAP" value={adaptive(dose?.kap_gy_cm2)} unit="Gy·cm²"><Pulses /></Figure>
      <Figure name="Fluoroscopy time" className="figure-time" value={clockText(dose?.fluoroscopy_time_s)} unit="min:s"
        {...(acquired > 0 ? { note: `+ acquisition ${clockText(acquired)}` } : {})} />
      {dose?.skin !== undefined && <Figure name="Peak skin dose" className="figure-skin" value={skin.value} unit="mGy" {...(skin.note === "" ? {} : { note: skin.note })} />}
      <Outlook />
      <NextStep />
    </footer>
  );
}

function FiveMinutes() {
  return (
    <button type="button" class="next five-minutes" disabled={!s.mayAct.value} onClick={() => act("five_minute_reset")}>
      <strong>5 minutes of X-ray</strong><span>Acknowledge</span>
    </button>
  );
}

function Pulses() {
  const pulses = s.readable.value?.pulses;
  if (pulses === undefined || pulses.dropped === 0) return null;
  return <span class="dropped" title="This computer was too slow for them">{pulses.dropped} {s.recorded.value ? "image" : "pulse"}{pulses.dropped > 1 && "s"} dropped</span>;
}

function NextStep() {
  const step = nextStep({ connected: s.connected.value, narrow: s.narrow.value, status: s.status.value, moved: s.movedSinceLive.value || s.handledSinceLive.value });
  const asked = s.takeNext.value;
  const taken = useRef(asked);
  useEffect(() => {
    // ENTER took the step; what a pedal is held for cannot be taken by a key that is let go.
    if (asked === taken.current) return;
    taken.current = asked;
    if (step.kind === "act") take(step.act);
    else if (step.kind === "pedal") s.tell(step.text);
  });
  if (s.status.value?.dose.five_minute_signal === true) return <FiveMinutes />;
  if (step.kind === "none") return <div class="next next-none" aria-live="polite">{step.text}</div>;
  if (step.kind === "pedal") return <HoldButton className="next next-act">{s.typing.value ? "SPACE types now. Hold here for X-ray" : step.text}</HoldButton>;
  return <button type="button" class="next next-act" onClick={() => take(step.act)}>{step.text}</button>;
}

function take(what: Extract<Step, { kind: "act" }>["act"]): void {
  switch (what) {
    case "claim": link.claim(); return;
    case "patients": s.patientsOpen.value = true; return;
    case "screening": askScreening(() => (s.panel.value = "dose")); return;
    case "budget": s.doseDialog.value = "budget"; return;
    case "store": void storeImage(); return;
    case "needle": placeNeedle({ at_marker: true }); return;
    case "replay": toggleReplay(); return;
    case "plan": openPlanning(); return;
    case "guide": toggleGuidance(); return;
    case "coaxial":
    case "confirm": act("plan_view", { view: what }); return;
    case "place": placeAtPlan(); return;
    case "stylet": act("needle_stylet", { inside: false }); return;
    case "lateral":
    case "ap": act("view", { name: what }); return;
  }
}
