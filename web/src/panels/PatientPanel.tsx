/** How the patient lies, breathes and bends. */

import { useState } from "preact/hooks";

import { act } from "../room/room";
import { NUDGE_MS, joined } from "../room/movement";
import { exposing, mayAct, operator, patientsOpen, status } from "../room/state";
import { fixed } from "../room/format";
import { Choice, Slider } from "./Sliders";
import { positionText } from "./TopBar";

const bend = joined((angles) => act("bend", angles), NUDGE_MS);

export function PatientPanel() {
  const now = status.value;
  const patient = now?.patient ?? null;
  if (now === null) return null;
  const off = !mayAct.value;
  const positions = now.positions ?? [];
  return (
    <>
      {patient !== null && (
        <div class="who">
          <bdi class="patient-name">{patient.name}</bdi>
          <p class="hint">{[...(patient.facts ?? []), ...(patient.synthetic === true ? ["synthetic"] : patient.synthetic === false ? ["real CT"] : [])].join(" · ")}</p>
          <bdi class="hint">{patient.description}</bdi>
        </div>
      )}
      <div class="views">
        <button type="button" disabled={off || exposing.value || !operator.value || now.patients.length === 0} onClick={() => (patientsOpen.value = true)}>Choose or make a patient…</button>
      </div>
      {positions.length > 0 && <Positions offered={positions} now={patient?.position ?? ""} off={off} ends={now.runs.length > 0} />}
      <Movement off={off} />
    </>
  );
}

/** Prone first, as spine patients lie; those of one end at a time. */
const LYING = ["P", "DL", "DR", "S"];

function Positions({ offered, now, off, ends }: { offered: readonly string[]; now: string; off: boolean; ends: boolean }) {
  const [end, setEnd] = useState(now.startsWith("FF") ? "FF" : "HF");
  const shown = LYING.map((way) => end + way).filter((position) => offered.includes(position));
  const other = end === "HF" ? "FF" : "HF";
  return (
    <section aria-label="Position">
      <h3>Position</h3>
      <div class="stack" role="group" aria-label="Position">
        {shown.map((position) => (
          <button type="button" key={position} class={`plain ${position === now ? "is-on" : ""}`} aria-pressed={position === now}
            disabled={off || exposing.value || position === now} onClick={() => act("set_position", { position })}>{positionText(position)}</button>
        ))}
      </div>
      {offered.some((position) => position.startsWith(other)) && (
        <button type="button" class="link" onClick={() => setEnd(other)}>{other === "FF" ? "Feet first…" : "Head first…"}</button>
      )}
      {ends && <p class="hint">Turning the patient closes this exam and opens a new one.</p>}
    </section>
  );
}

function Movement({ off }: { off: boolean }) {
  const movement = status.value?.patient?.movement ?? null;
  if (movement === null) return <p class="hint">This patient lies still: no parts of him are known that could move.</p>;
  const limits = movement.limits;
  return (
    <>
      {movement.breathing !== null && (
        <>
          <Choice label="Breathing" value={movement.coughing ? "cough" : movement.breathing} disabled={off}
            options={[{ value: "breathe", text: "breathe" }, { value: "hold", text: "hold" }, { value: "cough", text: "cough" }]}
            onChoose={(mode) => act("breathing", { mode })} />
          <p class="hint" role="status">{breathText(movement)}</p>
        </>
      )}
      {limits.flexion_deg && (
        <Slider label="Bend forward" unit="°" value={movement.flexion_deg} min={Math.ceil(limits.flexion_deg[0])} max={Math.floor(limits.flexion_deg[1])} step={1} disabled={off}
          onSet={(deg) => bend({ flexion_deg: deg })} />
      )}
      {limits.side_bend_deg && (
        <Slider label="Bend to the left" unit="°" value={movement.side_bend_deg} min={Math.ceil(limits.side_bend_deg[0])} max={Math.floor(limits.side_bend_deg[1])} step={1} disabled={off}
          onSet={(deg) => bend({ side_bend_deg: deg })} />
      )}
    </>
  );
}

function breathText(movement: { readonly breathing: "breathe" | "hold" | null; readonly held_s: number | null; readonly coughing: boolean }): string {
  if (movement.coughing) return "Coughs.";
  return movement.breathing === "hold" ? `Breath held for ${fixed(movement.held_s, 0)} s.` : "Breathes quietly.";
}
