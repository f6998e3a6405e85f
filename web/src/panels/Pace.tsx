/** This case beside typical ones: a bar with two marks, and the same in words. */

import type { Pace, PaceRow } from "../link/dose";
import { amountText, paceLevel, paceMarks, paceText, shortName } from "../room/dosewords";

const percent = (part: number): string => `${(part * 100).toFixed(1)}%`;

export function PaceBar({ row }: { row: PaceRow }) {
  const marks = paceMarks(row);
  const level = paceLevel(row);
  return (
    <span class={`pace-bar pace-${level.replace(" ", "-")}`} role="img" aria-label={`${paceText(row)}; ${amountText(row.value, row.unit)} now, ${rangeText(row)}`} title={rangeText(row)}>
      <span class="pace-fill" style={{ width: percent(marks.value) }} />
      {marks.typical !== null && <span class="pace-mark" style={{ left: percent(marks.typical) }} />}
      {marks.reference !== null && <span class="pace-mark pace-mark-reference" style={{ left: percent(marks.reference) }} />}
    </span>
  );
}

function rangeText(row: PaceRow): string {
  const parts = [];
  if (row.typical !== null) parts.push(`typical ${amountText(row.typical, row.unit)}`);
  if (row.reference_level !== null) parts.push(`reference level ${amountText(row.reference_level, row.unit)}`);
  return parts.join(", ");
}

export function PaceRows({ pace }: { pace: Pace }) {
  return (
    <ul class="pace-rows">
      {pace.rows.map((row) => (
        <li key={row.quantity}>
          <span class="pace-name">{shortName(row.quantity, row.words)}</span>
          <span class="pace-value">{amountText(row.value, row.unit)}</span>
          {(row.typical !== null || row.reference_level !== null) && <PaceBar row={row} />}
          <span class="pace-words">{row.typical === null && row.reference_level === null ? "no typical value known" : `${paceText(row).replace(`${shortName(row.quantity, row.words)} `, "")}; ${rangeText(row)}`}</span>
        </li>
      ))}
    </ul>
  );
}
