/** Who lies on the table, what the room is doing, and that none of it is real. */

import { closingExam, connected, everConnected, exposing, exposingWord, link, operator, patientsOpen, status } from "../room/state";
import { fixed, UNKNOWN } from "../room/format";
import { forbidden } from "../room/dosewords";
import { act } from "../room/room";

interface StateLook {
  readonly word: string;
  readonly look: string;
}

export function stateLook(): StateLook {
  const now = status.value;
  if (link.value === "lost" || (link.value === "connecting" && everConnected.value)) return { word: "RECONNECTING", look: "amber" };
  if (now === null) return { word: "CONNECTING", look: "quiet" };
  if (!connected.value) return { word: "NO ANSWER", look: "amber" };
  switch (now.state) {
    case "EXPOSING": return exposing.value ? { word: exposingWord.value, look: "xray" } : { word: "HOLD", look: "calm" };
    case "FAULT": return { word: "FAULT", look: "stop" };
    case "IDLE": return { word: "IDLE", look: "quiet" };
    // X-ray is refused until something is answered or decided.
    default: return forbidden(now.dose.control) === null ? { word: now.state, look: "calm" } : { word: "NO PERMISSION", look: "amber" };
  }
}

export function TopBar() {
  const now = status.value;
  const { word, look } = stateLook();
  const patient = now?.patient ?? null;
  return (
    <header class="top">
      <div class="top-patient">
        <button type="button" class="patient" disabled={(now?.patients.length ?? 0) === 0 || !operator.value || exposing.value || !connected.value}
          aria-haspopup="dialog" title={patient?.description ?? ""} onClick={() => (patientsOpen.value = true)}>
          <bdi class="patient-name">{patient?.name ?? "No patient yet"}</bdi>
          {patient !== null && patient.position !== UNKNOWN && <span class="patient-position">{positionText(patient.position)}</span>}
          <span class="chevron" aria-hidden="true">▾</span>
        </button>
        <span class="carm-model" title="C-arm">{now?.carm.model ?? ""}</span>
        <CloseExam />
      </div>
      <strong class="simulated">{now?.simulated === false ? "RECORDED" : "SIMULATED"} – not for clinical use</strong>
      <div class="top-state" role="status" aria-live="assertive">
        <Condition />
        {now !== null && !operator.value && <span class="watching">watching</span>}
        {now !== null && now.viewers > 0 && operator.value && <span class="watching">{now.viewers} watching</span>}
        <span class={`state state-${look}`}><span class="dot" aria-hidden="true" />{word}</span>
      </div>
    </header>
  );
}

/** What must not be overlooked: a pregnancy, a breath that is held. */
function Condition() {
  const patient = status.value?.patient ?? null;
  if (patient === null) return null;
  const weeks = patient.pregnancy_weeks ?? null;
  const held = patient.movement?.breathing === "hold";
  const heldS = patient.movement?.held_s ?? null;
  const control = status.value?.dose.control ?? null;
  return (
    <>
      {control?.limits?.high_level === true && <span class="badge badge-amber">high level on</span>}
      {weeks !== null && <span class="badge badge-amber" title="X-ray needs a documented reason">pregnant, week {fixed(weeks, 0)}</span>}
      {held && <span class="badge">breath held {fixed(heldS, 0)} s</span>}
    </>
  );
}

function CloseExam() {
  const now = status.value;
  if (now === null || !operator.value || now.exam === null || now.runs.length === 0) return null;
  if (!closingExam.value) {
    return (
      <button type="button" class="plain" disabled={exposing.value || !connected.value} title="writes the dose report and opens a new exam"
        onClick={() => (closingExam.value = true)}>Close exam</button>
    );
  }
  return (
    <span class="confirm" role="group" aria-label="Close the exam?">
      <button type="button" class="accent" ref={focusOnce} onClick={() => {
        closingExam.value = false;
        act("close_exam");
      }}>Write report, close</button>
      <button type="button" class="plain" onClick={() => (closingExam.value = false)}>Keep</button>
    </span>
  );
}

function focusOnce(element: HTMLButtonElement | null): void {
  element?.focus();
}

const POSITIONS: Readonly<Record<string, string>> = {
  HFS: "supine, head first",
  HFP: "prone, head first",
  FFS: "supine, feet first",
  FFP: "prone, feet first",
  HFDL: "left side down, head first",
  HFDR: "right side down, head first",
  FFDL: "left side down, feet first",
  FFDR: "right side down, feet first",
};

export const positionText = (position: string): string => POSITIONS[position] ?? position;
