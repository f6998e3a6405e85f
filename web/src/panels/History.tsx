/** What is remembered of the patient, and what he tells of exposures elsewhere. */

import { signal } from "@preact/signals";
import { useState } from "preact/hooks";

import type { History, OutsideExposure } from "../link/dose";
import { historyLines, outsideText } from "../room/dosewords";
import { act, command } from "../room/room";
import { doseDialog, mayAct, status } from "../room/state";
import { Dialog } from "./Dialogs";
import { TypesHint } from "./Signature";
import { Choice } from "./Sliders";

/** Taken away a moment ago, and of whom: it can be put back. */
const removed = signal<{ readonly of: string; readonly what: OutsideExposure } | null>(null);

export function HistoryWords({ history, short }: { history: History; short?: boolean }) {
  const gone = removed.value !== null && removed.value.of === history.patient_id ? removed.value.what : null;
  const trouble = history.trouble ?? "";
  const shown = short === true ? history.outside.slice(-3) : history.outside;
  return (
    <div class="history">
      {trouble !== "" && <p class="limited"><strong>Registry not reachable.</strong> {trouble} X-ray goes on; this exam is kept and handed over later.</p>}
      {trouble === "" || history.known ? historyLines(history).map((line) => <p key={line}>{line}</p>) : null}
      {shown.length > 0 && (
        <ul class="outside" aria-label="Exposures elsewhere">
          {shown.map((one) => (
            <li key={one.id}>
              <span><bdi>{outsideText(one)}</bdi> <em>{one.confirmed ? "confirmed" : "told, not confirmed"}{one.waiting === true ? "; not yet in the registry" : ""}</em></span>
              {short !== true && <button type="button" class="link" disabled={!mayAct.value} aria-label={`Remove ${outsideText(one)}`} onClick={() => remove(history, one)}>Remove</button>}
            </li>
          ))}
        </ul>
      )}
      {short === true && history.outside.length > shown.length && <p class="hint">{history.outside.length - shown.length} more under Dose</p>}
      {gone !== null && (
        <p class="hint" role="status">Removed: <bdi>{outsideText(gone)}</bdi>. <button type="button" class="link" onClick={() => putBack(gone)}>Undo</button></p>
      )}
      {history.unknown.length > 0 && <p class="hint">Not known: {history.unknown.join("; ")}</p>}
      <button type="button" class="link" disabled={!mayAct.value} onClick={() => (doseDialog.value = "outside")}>Add an exposure elsewhere…</button>
    </div>
  );
}

function remove(history: History, what: OutsideExposure): void {
  void command("outside_remove", { id: what.id }).then((reply) => {
    if (reply.ok) removed.value = { of: history.patient_id, what };
  });
}

function putBack({ kind, body_part, place, when, confirmed }: OutsideExposure): void {
  removed.value = null;
  act("outside_add", { kind, body_part, place, when, confirmed });
}

const KINDS = ["CT", "radiography", "fluoroscopy", "intervention", "nuclear medicine", "mammography", "dental", "radiotherapy", "other"] as const;

export function OutsideDialog() {
  if (doseDialog.value !== "outside") return null;
  const close = (): void => void (doseDialog.value = null);
  return <Dialog title="Exposure elsewhere" onClose={close}><OutsideForm onDone={close} /></Dialog>;
}

function OutsideForm({ onDone }: { onDone: () => void }) {
  const [told, setTold] = useState({ kind: "CT", body_part: "", place: "", when: "" });
  const [confirmed, setConfirmed] = useState(false);
  const [fault, setFault] = useState("");
  const change = (part: Partial<typeof told>): void => setTold({ ...told, ...part });
  const field = (name: "body_part" | "place" | "when", label: string, placeholder: string) => (
    <label class="field"><span>{label} <TypesHint /></span>
      <input type="text" maxLength={name === "when" ? 40 : 200} placeholder={placeholder} value={told[name]} onInput={(event) => change({ [name]: event.currentTarget.value })} />
    </label>
  );
  return (
    <form class="outside-form" onSubmit={(event) => {
      event.preventDefault();
      const given = Object.fromEntries(Object.entries(told).map(([name, text]) => [name, text.trim()]));
      void command("outside_add", { ...given, confirmed }).then((reply) => {
        if (reply.ok) onDone();
        else setFault(reply.error ?? "refused");
      });
    }}>
      <p class="hint">Of {status.value?.patient?.name ?? "this patient"}, as told before the exposure. Leave empty what is not known.</p>
      <div class="make-grid">
        <label class="field"><span>Kind</span>
          <select value={told.kind} onChange={(event) => change({ kind: event.currentTarget.value })}>{KINDS.map((kind) => <option key={kind}>{kind}</option>)}</select>
        </label>
        {field("body_part", "Body part", "abdomen")}
        {field("place", "Where", "hospital, country")}
        {field("when", "When", "2023 or 2023-05-14")}
      </div>
      <Choice label="How it is known" value={confirmed ? "confirmed" : "told"} disabled={false}
        options={[{ value: "told", text: "told by the patient" }, { value: "confirmed", text: "confirmed by a report" }]} onChoose={(how) => setConfirmed(how === "confirmed")} />
      <p class="fault" role="alert">{fault}</p>
      <div class="form-end"><button type="submit" class="accent" disabled={!mayAct.value}>Add</button></div>
    </form>
  );
}
