/** What the dose bar says of the alerts that are open. */

import type { DoseAlert, DoseAlerts } from "../link/types";
import { adaptive, clockText } from "./format";

const GRAVITY = { next: 0, first: 1, substantial: 2 } as const;

/** Names short enough for the bar. */
export const SHORT: Readonly<Record<string, string>> = {
  peak_skin_dose: "Skin dose", air_kerma: "Air kerma", kap: "KAP", fluoroscopy_time: "Fluoroscopy time",
};

export interface AlertWords {
  readonly headline: string;
  /** Every quantity with its source. */
  readonly whole: string;
  readonly substantial: boolean;
}

/** A level as the figure beside it is written: mGy, Gy·cm², min:s. */
export function levelText(alert: Pick<DoseAlert, "level" | "unit">): string {
  if (alert.unit === "min") return `${clockText(Math.round(alert.level * 60))} min:s`;
  if (alert.unit === "Gy" && alert.level < 1) return `${adaptive(alert.level * 1000)} mGy`;
  return `${adaptive(alert.level)} ${alert.unit}`;
}

/** The gravest alert in a line, and how many more are open; null when none is. */
export function alertWords(alerts: DoseAlerts | null | undefined): AlertWords | null {
  const [gravest] = [...(alerts?.open ?? [])].sort((a, b) => GRAVITY[b.kind] - GRAVITY[a.kind]);
  if (gravest === undefined || alerts === null || alerts === undefined) return null;
  const name = SHORT[gravest.quantity] ?? gravest.words;
  const more = alerts.count > 1 ? `, ${alerts.count - 1} more` : "";
  const substantial = gravest.kind === "substantial";
  return {
    headline: `${name} ${levelText(gravest)} reached${substantial ? ": substantial" : ""}${more}`,
    whole: alerts.open.map((one) => `${one.words}: ${levelText(one)}, ${one.kind} level (${one.source})`).join("; "),
    substantial,
  };
}
