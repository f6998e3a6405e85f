/** How the page says a dose: pure functions from the status to words. */

import type { Advice, Budget, DoseControl, DoseEstimates, History, NextAlert, Pace, PaceRow, SkinStatus } from "../link/dose";
import { adaptive, clockText, fixed, UNKNOWN } from "./format";
import { levelText, SHORT } from "./dosealerts";

/** A value with its unit; seconds as min:s. */
export function amountText(value: number | null | undefined, unit: string): string {
  if (value === null || value === undefined) return UNKNOWN;
  if (unit === "s") return `${clockText(value)} min:s`;
  if (unit === "min") return `${clockText(Math.round(value * 60))} min:s`;
  return `${adaptive(value)} ${unit}`;
}

const inSentence = (quantity: string, words: string): string => {
  const short = SHORT[quantity] ?? words;
  return short === "KAP" ? short : short.toLowerCase();
};

export const shortName = (quantity: string, words: string): string => SHORT[quantity] ?? words.charAt(0).toUpperCase() + words.slice(1);

/** "Next alert: air kerma 3.00 Gy, 4 % there". */
export function nextAlertText(next: NextAlert | null | undefined): string {
  if (next === null || next === undefined) return "No further alert level";
  return `Next alert: ${inSentence(next.quantity, next.words)} ${levelText(next)}, ${percentText(next.fraction)} there`;
}

/** Percent, rounded down: it is not there before it is there. */
export function percentText(part: number): string {
  const percent = part * 100;
  return percent > 0 && percent < 1 ? "<1 %" : `${fixed(Math.floor(percent), 0)} %`;
}

/** The quantity that has come farthest beside a typical case; the first when none has begun. */
export function leadingRow(pace: Pace | null | undefined): PaceRow | null {
  const rows = (pace?.rows ?? []).filter((row) => row.typical !== null && row.value !== null);
  return rows.reduce<PaceRow | null>((best, row) => (best === null || (row.fraction_of_typical ?? 0) > (best.fraction_of_typical ?? 0) ? row : best), null);
}

export type PaceLevel = "within" | "above typical" | "above reference";

export function paceLevel(row: PaceRow): PaceLevel {
  if (row.value === null) return "within";
  if (row.reference_level !== null && row.value > row.reference_level) return "above reference";
  return row.typical !== null && row.value > row.typical ? "above typical" : "within";
}

/** "KAP 39 % of typical", "KAP 1.8 × typical", "KAP above the reference level". */
export function paceText(row: PaceRow): string {
  const name = shortName(row.quantity, row.words);
  const part = row.fraction_of_typical;
  if (paceLevel(row) === "above reference") return `${name} above the reference level`;
  if (part === null || row.value === null) return `${name} ${UNKNOWN}`;
  return part < 1 ? `${name} ${percentText(part)} of typical` : `${name} ${part.toFixed(1)} × typical`;
}

export interface PaceMarks {
  /** Parts of the bar's length. */
  readonly value: number;
  readonly typical: number | null;
  readonly reference: number | null;
}

/** Where value, typical and reference lie on a bar that shows all three. */
export function paceMarks(row: PaceRow): PaceMarks {
  const most = Math.max(row.value ?? 0, row.typical ?? 0, row.reference_level ?? 0) * 1.08;
  const at = (one: number | null): number | null => (one === null || most <= 0 ? null : one / most);
  return { value: at(row.value) ?? 0, typical: at(row.typical), reference: at(row.reference_level) };
}

/** "Peak skin dose 14.2 mGy ± 45 %", "… estimate". */
export function skinText(skin: SkinStatus | null | undefined): { readonly value: string; readonly note: string } {
  if (skin === null || skin === undefined) return { value: UNKNOWN, note: "" };
  return { value: adaptive(skin.peak_mgy), note: `± ${fixed(skin.uncertainty_percent, 0)} %${skin.estimate ? ", estimate" : ""}` };
}

/** Texts made of clauses, each clause once: what was said before is left out. */
export function saidOnce(texts: readonly string[]): string[] {
  const said = new Set<string>();
  return texts.map((text) => text.split("; ").filter((clause) => !said.has(clause) && said.add(clause)).join("; "));
}

/** Whether X-ray is forbidden now, and by what. */
export function forbidden(control: DoseControl | null | undefined): "screening" | "budget" | null {
  if (control?.screening?.blocks === true) return "screening";
  return control?.budget?.stopped === true ? "budget" : null;
}

/** From this part on, the budget is worth a line in the bar. */
export const BUDGET_NEAR = 0.8;

export function budgetText(budget: Budget): string {
  const of = `${percentText(budget.fraction ?? 0)} of ${amountText(budget.limit, budget.unit)}`;
  if (budget.overruled !== null) return `Budget overruled by ${budget.overruled.by}: ${of}`;
  return budget.stopped ? `Budget spent: ${of}` : `Budget: ${of}`;
}

/** "0.31 mSv (0.18 to 0.43)", "0.31 mSv ± 40 %". */
export function effectiveText(estimates: DoseEstimates): string {
  const spread = estimates.effective_spread;
  const value = `${adaptive(estimates.effective_msv)} mSv`;
  if (spread === null || estimates.effective_msv === null) return value;
  if (typeof spread === "number") return `${value} ± ${fixed(spread * 100, 0)} %`;
  return `${value} (${adaptive(spread[0])} to ${adaptive(spread[1])})`;
}

/** What to do, and what it saves; the rest of a longer sentence stands in the Dose tab. */
export function adviceText(advice: Advice): { readonly what: string; readonly saves: string } {
  const saves = advice.saving_percent === null ? "" : `saves ${fixed(advice.saving_percent, 0)} %`;
  const [first = advice.text] = advice.text.split(saves === "" ? ";" : ":");
  const what = first.trim();
  return { what: what.charAt(0).toUpperCase() + what.slice(1), saves };
}

/** What is known of a patient before this exam, a line each; what is not known is in `unknown`. */
export function historyLines(history: History): string[] {
  if (history.lines.length > 0) return [...history.lines];
  if (!history.known || history.exams === 0) return ["No earlier exam of this patient is known here."];
  const { air_kerma_mgy: kerma, kap_gy_cm2: kap, fluoroscopy_time_s: time } = history.cumulative;
  const exams = `${history.exams} earlier exam${history.exams === 1 ? "" : "s"}${history.since === null ? "" : ` since ${history.since}`}`;
  return [`${exams}: ${amountText(kerma, "mGy")} air kerma, ${amountText(kap, "Gy·cm²")}, ${amountText(time, "s")}`];
}

export function outsideText(one: { readonly kind: string; readonly body_part: string; readonly place: string; readonly when: string }): string {
  return [`${one.kind} ${one.body_part}`.trim(), one.place, one.when].filter((part) => part !== "").join(", ");
}
