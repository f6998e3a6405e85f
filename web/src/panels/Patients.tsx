/** Who can lie on the table: cards to choose from, and a form to make another. */

import { useEffect } from "preact/hooks";

import type { PatientChoice } from "../link/types";
import { command, link } from "../room/room";
import { makingPatient, mayAct, patientsOpen, status } from "../room/state";
import { Dialog } from "./Dialogs";
import { MakePatient } from "./MakePatient";

const GROUPS: readonly { id: PatientChoice["group"]; title: string }[] = [
  { id: "modelled", title: "Modelled for teaching" },
  { id: "made", title: "Made here" },
  { id: "scanned", title: "Real CT" },
  { id: null, title: "Others" },
];

export function Patients() {
  if (!patientsOpen.value) return null;
  const close = (): void => {
    patientsOpen.value = false;
    makingPatient.value = false;
  };
  const making = makingPatient.value;
  return (
    <Dialog title={making ? "Make a patient" : "Patients"} onClose={close}>
      {making ? <MakePatient onBack={() => (makingPatient.value = false)} onDone={close} /> : <Chooser onDone={close} />}
    </Dialog>
  );
}

function Chooser({ onDone }: { onDone: () => void }) {
  const now = status.value;
  const all = now?.patients ?? [];
  // Thumbnails that are missing come one after the other while the room is idle.
  useEffect(() => {
    if (mayAct.peek() && status.peek()?.making !== undefined) void link.command("draw_cards");
  }, []);
  const choose = (name: string): void => {
    void command("set_patient", { name }).then((reply) => {
      if (reply.ok) onDone();
    });
  };
  return (
    <>
      <div class="dialog-lead">
        <p class="hint">Choosing a patient closes this exam (its dose report is written) and opens a new one.</p>
        {now?.making !== undefined && <button type="button" class="accent" onClick={() => (makingPatient.value = true)}>Make a patient…</button>}
      </div>
      {GROUPS.map(({ id, title }) => {
        const group = all.filter((choice) => (choice.group ?? null) === id);
        if (group.length === 0) return null;
        return (
          <section key={title} aria-label={title}>
            <h3>{title}</h3>
            <ul class="patients">
              {group.map((choice) => (
                <li key={choice.name}><Card choice={choice} on={choice.name === now?.patient?.name} onChoose={() => choose(choice.name)} /></li>
              ))}
            </ul>
          </section>
        );
      })}
    </>
  );
}

function Card({ choice, on, onChoose }: { choice: PatientChoice; on: boolean; onChoose: () => void }) {
  const weeks = choice.pregnancy_weeks ?? null;
  const facts = (choice.facts ?? []).slice(0, 2).join(" · ");
  return (
    <button type="button" class={`card ${on ? "is-on" : ""}`} aria-pressed={on} disabled={!choice.available} onClick={onChoose}>
      <span class="card-picture">
        {choice.thumbnail ? <img src={choice.thumbnail} alt="" loading="lazy" /> : <span>no picture yet</span>}
      </span>
      <span class="card-words">
        <bdi class="patient-name">{choice.name}</bdi>
        {facts !== "" && <span class="card-facts">{facts}</span>}
        <bdi class="patient-text">{choice.description}</bdi>
        <span class="card-tags">
          {choice.synthetic === true && <span class="badge">synthetic</span>}
          {choice.synthetic === false && <span class="badge">real CT</span>}
          {on && <span class="badge badge-on">on the table</span>}
          {weeks !== null && <span class="badge badge-amber">pregnant: X-ray needs a documented reason</span>}
        </span>
        {!choice.available && <code>fluoroscope patients fetch {choice.name}</code>}
      </span>
    </button>
  );
}
