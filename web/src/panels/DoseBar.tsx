/** The dose, readable from two metres, and the next step. */

import { signal } from "@preact/signals";

import { adaptive, clockText } from "../room/format";
import { alertWords } from "../room/dosealerts";
import { nextStep, type Step } from "../room/nextstep";
import { placeNeedle, storeImage, toggleReplay } from "../room/controls";
import { act, link } from "../room/room";
import * as s from "../room/state";
import { HoldButton } from "./HoldButton";

/** Who acknowledged last on this page. */
const seenBy = signal("");

function Figure({ name, value, unit, note }: { name: string; value: string; unit: string; note?: string }) {
  return (
    <div class="figure">
      <span class="figure-value">{value}<small>{unit}</small></span>
      <span class="figure-name">{name}{note !== undefined && <em>{note}</em>}</span>
    </div>
  );
}

export function DoseBar() {
  const now = s.readable.value;
  const dose = now?.dose ?? null;
  const point = dose === null ? "" : `at ${dose.reference_point}`;
  const acquired = dose?.acquisition_time_s ?? 0;
  return (
    <footer class="dose" aria-label="Dose">
      <Figure name="Dose rate" value={adaptive(s.connected.value ? dose?.air_kerma_rate_mgy_min : null)} unit="mGy/min" />
      <Figure name="Air kerma" note={point} value={adaptive(dose?.air_kerma_mgy)} unit="mGy" />
      <Figure name="Kerma-area product" value={adaptive(dose?.kap_gy_cm2)} unit="Gy·cm²" />
      <Figure name="Fluoroscopy time" value={clockText(dose?.fluoroscopy_time_s)} unit="min:s"
        {...(acquired > 0 ? { note: `+ acquisition ${clockText(acquired)}` } : {})} />
      <div class="dose-notes">
        {dose !== null && <span class="dose-source">{dose.source}</span>}
        <Pulses />
      </div>
      <Alert />
      <NextStep />
    </footer>
  );
}

/** Beside the next step, never in its place: an alert does not take the pedal away. */
function Alert() {
  const alerts = s.status.value?.dose.alerts;
  const words = alertWords(alerts);
  const upTo = alerts?.up_to ?? null;
  if (words === null || upTo === null) return null;
  const seen = (event: Event) => {
    event.preventDefault();
    act("dose_alerts_seen", { by: seenBy.value, up_to: upTo });
    // The keys are the pedal's again.
    if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
  };
  return (
    <form class={`dose-alert${words.substantial ? " is-substantial" : ""}`} onSubmit={seen} title={words.whole}>
      <strong role="status">{words.headline}</strong>
      <span>
        <input type="text" aria-label="Your name" placeholder="Your name" maxLength={64} required pattern=".*\S.*"
          value={seenBy.value} onInput={(event) => { seenBy.value = event.currentTarget.value; }} />
        <button type="submit" aria-label="Acknowledge the dose alert" disabled={!s.mayAct.value}>Acknowledge</button>
      </span>
    </form>
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
  if (s.status.value?.dose.five_minute_signal === true) return <FiveMinutes />;
  if (step.kind === "none") return <div class="next next-none" aria-live="polite">{step.text}</div>;
  if (step.kind === "pedal") return <HoldButton className="next next-act">{step.text}</HoldButton>;
  return <button type="button" class="next next-act" onClick={() => take(step.act)}>{step.text}</button>;
}

function take(what: Extract<Step, { kind: "act" }>["act"]): void {
  switch (what) {
    case "claim": link.claim(); return;
    case "patients": s.patientsOpen.value = true; return;
    case "store": void storeImage(); return;
    case "needle": placeNeedle({ at_marker: true }); return;
    case "replay": toggleReplay(); return;
    case "lateral":
    case "ap": act("view", { name: what }); return;
  }
}
