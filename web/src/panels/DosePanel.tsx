/** The Dose tab: this case, the skin, estimates, the staff, limits and budget, and what was before. */

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";

import type { Advice, DoseEstimates, Pace } from "../link/dose";
import { effectiveText, percentText, saidOnce, skinText } from "../room/dosewords";
import { adaptive, fixed, UNKNOWN } from "../room/format";
import { act } from "../room/room";
import { exposing, mayAct, monitors, readable, status } from "../room/state";
import { BudgetSection, Limits } from "./DoseRules";
import { HistoryWords } from "./History";
import { PaceRows } from "./Pace";
import { ScreeningCard } from "./Screening";
import { SkinMap } from "./SkinMap";
import { StaffMap } from "./StaffMap";

/** Which parts are open; kept while the page stands. */
const open = signal<ReadonlySet<string>>(new Set(["case", "skin"]));

function Part({ id, title, value, children }: { id: string; title: string; value: string; children: ComponentChildren }) {
  const shown = open.value.has(id);
  const toggle = (): void => {
    const parts = new Set(open.peek());
    if (!parts.delete(id)) parts.add(id);
    open.value = parts;
  };
  return (
    <section class="part">
      <h3 class="part-title"><button type="button" aria-expanded={shown} aria-controls={`part-${id}`} onClick={toggle}>
        <span class="part-mark" aria-hidden="true">{shown ? "▾" : "▸"}</span><span>{title}</span><span class="part-value">{value}</span>
      </button></h3>
      <div id={`part-${id}`} hidden={!shown}>{shown && children}</div>
    </section>
  );
}

export function DosePanel() {
  const now = readable.value;
  const live = status.value;
  if (now === null || live === null) return null;
  const { dose } = now;
  const control = live.dose.control ?? null;
  // The figures at the pace of the bar: the same quantity never reads differently in two places.
  const pace = dose.control?.pace ?? null;
  const history = live.history ?? null;
  const estimates = dose.estimates ?? null;
  const skin = skinText(dose.skin);
  if (control === null && history === null && dose.skin === undefined) return <p class="hint">A recorded clip: it gives no dose here. What its file says stands in fluoroscope dose read.</p>;
  return (
    <div class="dose-panel">
      {control?.screening?.needed === true && (monitors.live.value.painted !== null || !control.screening.blocks) && <ScreeningCard screening={control.screening} />}
      {control !== null && pace !== null && <Part id="case" title="This case" value={pace.label}><Case pace={pace} advice={control.advice} /></Part>}
      <Part id="skin" title="Skin" value={skin.value === UNKNOWN ? UNKNOWN : `${skin.value} mGy ${skin.note}`}><SkinMap /></Part>
      <Part id="estimates" title="Estimates" value={estimates === null ? UNKNOWN : `${adaptive(estimates.effective_msv)} mSv effective`}><Estimates estimates={estimates} /></Part>
      {live.room !== null && <Part id="staff" title="Staff" value="scatter"><StaffMap /></Part>}
      {control?.limits && <Part id="limits" title="Limits" value={control.limits.high_level ? "HIGH LEVEL" : `${adaptive(control.limits.limit_mgy_min)} mGy/min`}><Limits limits={control.limits} /></Part>}
      {control !== null && <Part id="budget" title="Budget" value={control.budget === null ? "none" : control.budget.stopped ? "SPENT" : percentText(control.budget.fraction ?? 0)}><BudgetSection budget={control.budget} /></Part>}
      {history !== null && <Part id="history" title="Before this exam" value={historyValue(history)}><HistoryWords history={history} /></Part>}
      <Part id="figures" title="How it is measured" value={dose.source}>
        <p class="hint">Air kerma {dose.reference_point}.</p>
        <p class="hint">{control?.calibration ? `Calibration factor ${fixed(control.calibration.factor, 3)} (${control.calibration.source}).` : "No calibration factor is set: the figures are as they come."}</p>
      </Part>
    </div>
  );
}

function historyValue(history: { readonly exams: number; readonly outside: readonly unknown[]; readonly trouble?: string }): string {
  if ((history.trouble ?? "") !== "") return "not reachable";
  const outside = history.outside.length === 0 ? "" : `, ${history.outside.length}\u00a0elsewhere`;
  return `${history.exams}\u00a0exam${history.exams === 1 ? "" : "s"}${outside}`;
}

function Case({ pace, advice }: { pace: Pace; advice: Advice | null }) {
  return (
    <>
      <label class="field procedure"><span>Procedure</span>
        <select value={pace.procedure} disabled={!mayAct.value || exposing.value} onChange={(event) => {
          act("set_procedure", { name: event.currentTarget.value });
          // The keys are the pedal's again.
          event.currentTarget.blur();
        }}>{pace.choices.map(({ name, label }) => <option key={name} value={name}>{label}</option>)}</select>
      </label>
      <PaceRows pace={pace} />
      <p class="advice-whole"><strong>Advice:</strong> {advice === null ? "nothing to save now." : advice.text}</p>
      {pace.source !== "" && <p class="hint source">Typical values: {pace.source}</p>}
    </>
  );
}

/** How well a source is known. */
const MARKS = [["[K]", "not yet checked against its source"], ["[M]", "modelled here"]] as const;

function Estimates({ estimates }: { estimates: DoseEstimates | null }) {
  if (estimates === null) return <p class="hint">No X-ray in this exam yet.</p>;
  const { coefficient, conceptus, risk, organs } = estimates;
  const [effective = "", range] = effectiveText(estimates).split(/ (?=[(±])/);
  const [riskText = "", note = ""] = saidOnce([risk?.text ?? "", estimates.note]);
  const marks = MARKS.filter(([mark]) => [coefficient?.source, conceptus?.text, riskText, note].some((text) => text?.includes(mark) === true));
  return (
    <div class="estimates">
      <p class="line"><span>Effective dose, estimate</span><strong>{effective} <small>{range}</small></strong></p>
      {coefficient !== null && <p class="hint">{coefficient.name}: {adaptive(coefficient.msv_per_gy_cm2)} mSv per Gy·cm² ({coefficient.source})</p>}
      {conceptus !== null && (
        <>
          <p class="line"><span>Conceptus, estimate</span><strong>{adaptive(conceptus.mgy)} mGy <small>({adaptive(conceptus.low_mgy)} to {adaptive(conceptus.high_mgy)})</small></strong></p>
          <p class="hint">{conceptus.band}: {conceptus.text}</p>
        </>
      )}
      {organs.length > 0 && (
        <table class="organs"><caption>Organ doses, estimates</caption>
          <tbody>{organs.map(({ name, mgy }) => <tr key={name}><th scope="row">{name}</th><td>{adaptive(mgy)} mGy</td></tr>)}</tbody>
        </table>
      )}
      {risk !== null && (
        <>
          <p class="line"><span>Nominal risk</span><strong>{risk.per_million === null ? UNKNOWN : `${adaptive(risk.per_million)} in a million`}</strong></p>
          <p class="hint">{riskText.includes(risk.model) ? riskText : `${risk.model}: ${riskText}`}</p>
        </>
      )}
      {note !== "" && <p class="hint">{note}</p>}
      {marks.length > 0 && <p class="hint">{marks.map(([mark, meaning]) => `${mark} ${meaning}`).join("; ")}</p>}
    </div>
  );
}
