/** Planning a needle's path, the paths found, the one chosen on the CT; all of it by keyboard. */

import { useEffect, useRef, useState } from "preact/hooks";

import type { ChosenPlan, Guidance, PlanChoices, PlanRow, PlanSlice } from "../link/guidance";
import { placeAtPlan, toggleGuidance } from "../room/controls";
import { fixed } from "../room/format";
import { act, command } from "../room/room";
import * as s from "../room/state";

async function fetchChoices(): Promise<void> {
  const answer = await fetch("/room/guidance.json");
  if (answer.ok) s.planChoices.value = (await answer.json()) as PlanChoices;
}

export function GuidancePanel() {
  const now = s.status.value;
  const guidance = now?.guidance;
  const patient = now?.patient?.id ?? "";
  const allowed = guidance?.allowed === true;
  useEffect(() => {
    if (!allowed) return;
    void fetchChoices().catch(() => s.tell("the room does not say what can be planned", "warning"));
  }, [patient, allowed]);
  if (!now) return null;
  if (!guidance) return <p class="hint">There is nobody here in whom a path could be planned.</p>;
  if (!guidance.allowed) return <p class="hint armed" role="status">This exercise is without guidance: no plan and no overlay are given.</p>;
  const off = !s.mayAct.value;
  return (
    <>
      <div class="views">
        <button type="button" class={guidance.on ? "is-on" : ""} aria-pressed={guidance.on} disabled={off} onClick={toggleGuidance}>
          Guidance {guidance.on ? "on" : "off"} <kbd>G</kbd>
        </button>
      </div>
      <Request guidance={guidance} off={off} />
      {guidance.plans.length > 0 && <Plans guidance={guidance} off={off} />}
      {guidance.chosen !== null && <Chosen plan={guidance.chosen} rows={guidance.plans} off={off} />}
      <p class="hint">Estimates of a simulation. Not for clinical use.</p>
    </>
  );
}

function Request({ guidance, off }: { guidance: Guidance; off: boolean }) {
  const choices = s.planChoices.value?.procedures ?? [];
  const [name, setName] = useState<string | null>(null);
  const [level, setLevel] = useState<string | null>(null);
  const [side, setSide] = useState<"" | "left" | "right">("");
  const first = useRef<HTMLSelectElement>(null);
  const asked = s.planningAsked.value;
  useEffect(() => {
    // The form is there only when the room has said what can be planned.
    if (!asked || first.current === null) return;
    s.planningAsked.value = false;
    first.current.focus();
  }, [asked, choices.length]);
  const known = choices.find((one) => one.name === (name ?? guidance.request?.procedure)) ?? choices[0];
  if (known === undefined) return <p class="hint">Nothing can be planned for this patient.</p>;
  const preferred = guidance.request?.level ?? "L3-L4";
  const chosenLevel = level !== null && known.levels.includes(level) ? level : known.levels.includes(preferred) ? preferred : known.levels[0];
  const planning = guidance.planning;
  return (
    <section aria-label="Plan">
      <h3>Plan</h3>
      <label class="field"><span>Procedure</span>
        <select ref={first} aria-label="Procedure" disabled={off} value={known.name} onChange={(event) => setName(event.currentTarget.value)}>
          {choices.map((one) => <option key={one.name} value={one.name}>{one.label}</option>)}
        </select>
      </label>
      <label class="field"><span>Level</span>
        <select aria-label="Level" disabled={off} value={chosenLevel} onChange={(event) => setLevel(event.currentTarget.value)}>
          {known.levels.map((one) => <option key={one} value={one}>{one}</option>)}
        </select>
      </label>
      {known.sided && (
        <label class="field"><span>Side</span>
          <select aria-label="Side" disabled={off} value={side} onChange={(event) => setSide(event.currentTarget.value as "" | "left" | "right")}>
            <option value="">whichever is better</option>
            <option value="left">patient's left</option>
            <option value="right">patient's right</option>
          </select>
        </label>
      )}
      <div class="views">
        <button type="button" class={guidance.chosen === null ? "accent" : ""} disabled={off || planning !== null}
          onClick={(event) => {
            // The keys are the room's again: ENTER takes the next step.
            event.currentTarget.blur();
            void command("plan_make", { procedure: known.name, level: chosenLevel, ...(known.sided && side !== "" ? { side } : {}) });
          }}>
          {planning === null ? (guidance.plans.length === 0 ? "Plan the path" : "Plan anew") : "Planning…"}
        </button>
        {guidance.plans.length > 0 && <button type="button" disabled={off} onClick={() => act("plan_clear")}>Clear</button>}
      </div>
      {planning !== null && (
        <div class="progress" role="status">
          <progress aria-label="Planning" {...(planning.fraction === null ? {} : { value: planning.fraction })} max={1} />
          <span>{planning.text}</span>
        </div>
      )}
      {guidance.trouble !== "" && <p class="hint armed" role="alert">{guidance.trouble}</p>}
    </section>
  );
}

function Plans({ guidance, off }: { guidance: Guidance; off: boolean }) {
  return (
    <section aria-label="Paths">
      <h3>{guidance.request?.label}, {guidance.request?.level}{guidance.request?.side && `, ${guidance.request.side}`}</h3>
      <ul class="paths">
        {guidance.plans.map((row) => (
          <li key={row.index}>
            <button type="button" class={`path ${guidance.chosen?.index === row.index ? "is-on" : ""}`} aria-pressed={guidance.chosen?.index === row.index}
              disabled={off} onClick={(event) => {
                event.currentTarget.blur();
                act("plan_choose", { index: row.index });
              }}>
              <b>{row.index + 1}. {row.name}</b>
              <span>{fixed(row.depth_mm, 0)} mm deep · score {fixed(row.score, 2)}</span>
              <span>{row.coaxial_text}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Chosen({ plan, rows, off }: { plan: ChosenPlan; rows: readonly PlanRow[]; off: boolean }) {
  const row = rows.find((one) => one.index === plan.index);
  return (
    <section aria-label="Chosen path">
      <h3>Chosen path</h3>
      <dl class="path-facts">
        <div><dt>Needle</dt><dd>{row?.needle_label ?? ""}</dd></div>
        <div><dt>Depth to target</dt><dd>{fixed(plan.depth_mm, 1)} mm{plan.depth_check !== "" && <small>{plan.depth_check}</small>}</dd></div>
        {plan.dura_depth_mm !== null && <div><dt>Depth to dura</dt><dd>{fixed(plan.dura_depth_mm, 1)} mm</dd></div>}
        <div><dt>Bull's-eye <kbd>B</kbd></dt><dd>{plan.coaxial_text}</dd></div>
        <div><dt>Confirm <kbd>C</kbd></dt><dd>{plan.confirm_text}</dd></div>
        {row?.clearances.map(({ structure, mm }) => <div key={structure}><dt>{structure}</dt><dd>{fixed(mm, 1)} mm away</dd></div>)}
      </dl>
      {row?.notes.map((note) => <p key={note} class="hint">{note}</p>)}
      <div class="views wrap">
        <button type="button" disabled={off} onClick={() => act("plan_view", { view: "coaxial" })}>Bull's-eye</button>
        <button type="button" disabled={off} onClick={() => act("plan_view", { view: "confirm" })}>Confirm view</button>
        <button type="button" disabled={off} onClick={placeAtPlan}>Needle at entry</button>
      </div>
      {plan.slices.map((slice) => <Slice key={slice.url} slice={slice} />)}
    </section>
  );
}

/** A slice of the CT in which the whole path lies. */
function Slice({ slice }: { slice: PlanSlice }) {
  const { width_mm: w, height_mm: h } = slice;
  const x = (share: number): number => share * w;
  const y = (share: number): number => share * h;
  const stop = slice.dura ?? slice.target;
  return (
    <figure class="slice">
      <div class="slice-stage" style={{ aspectRatio: `${w} / ${h}` }}>
        <img src={slice.url} alt={`${slice.label}, with the planned path`} />
        <svg viewBox={`0 0 ${w} ${h}`} aria-hidden="true">
          <line class="slice-path" x1={x(slice.entry.col)} y1={y(slice.entry.row)} x2={x(slice.target.col)} y2={y(slice.target.row)} />
          <circle class="slice-ring" cx={x(slice.entry.col)} cy={y(slice.entry.row)} r={2.5} />
          <circle class="slice-target" cx={x(slice.target.col)} cy={y(slice.target.row)} r={1.8} />
          {slice.dura !== null && <circle class="slice-dura" cx={x(stop.col)} cy={y(stop.row)} r={1.4} />}
          {slice.tip !== null && <circle class="slice-tip" cx={x(slice.tip.col)} cy={y(slice.tip.row)} r={2.2} />}
        </svg>
        <span class="slice-letter slice-left">{slice.markers.left}</span>
        <span class="slice-letter slice-right">{slice.markers.right}</span>
        <span class="slice-letter slice-top">{slice.markers.top}</span>
        <span class="slice-letter slice-bottom">{slice.markers.bottom}</span>
      </div>
      <figcaption>{slice.label}</figcaption>
    </figure>
  );
}
