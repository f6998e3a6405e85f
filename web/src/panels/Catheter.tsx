/** A catheter or lead through the needle: threaded, pushed on, pulled back, taken out. */

import { useEffect, useState } from "preact/hooks";

import type { CatheterKind, CatheterStatus, NeedleStatus } from "../link/types";
import { moveNeedle } from "../room/controls";
import { fixed } from "../room/format";
import { act } from "../room/room";
import * as s from "../room/state";

async function fetchKinds(): Promise<void> {
  const answer = await fetch("/room/catheters.json");
  if (answer.ok) s.catheterKinds.value = (await answer.json()) as CatheterKind[];
}

/** What goes through the bore of a needle. */
export function fittingKinds(needle: NeedleStatus): readonly CatheterKind[] {
  const bore = s.needleKinds.value.find((kind) => kind.name === needle.type)?.bore_mm ?? 0;
  return s.catheterKinds.value.filter((kind) => kind.outer_mm <= bore);
}

/** What may be threaded through the needle that is in; nothing where none fits its bore. */
export function Thread({ needle, off }: { needle: NeedleStatus; off: boolean }) {
  useEffect(() => {
    if (s.catheterKinds.peek().length === 0) void fetchKinds().catch(() => s.tell("the room does not say what catheters there are", "warning"));
  }, []);
  const [chosen, setChosen] = useState<string | null>(null);
  const fitting = fittingKinds(needle);
  const first = fitting[0];
  if (first === undefined || needle.stylet_in === true) return null;
  const type = fitting.find((kind) => kind.name === chosen)?.name ?? first.name;
  return (
    <section aria-label="Through the needle">
      <h3>Through the needle</h3>
      <label class="field">
        <select aria-label="Catheter or lead" disabled={off} value={type} onChange={(event) => setChosen(event.currentTarget.value)}>
          {fitting.map((kind) => <option key={kind.name} value={kind.name}>{kind.label}</option>)}
        </select>
      </label>
      <div class="views">
        <button type="button" disabled={off} onClick={() => act("catheter_thread", { type })}>Thread it</button>
      </div>
    </section>
  );
}

export function CatheterInHand({ catheter, off }: { catheter: CatheterStatus; off: boolean }) {
  const beyond = catheter.beyond_mm;
  return (
    <>
      <div class="in-hand" role="group" aria-label="Catheter in hand">
        <p class="needle-name">{catheter.label}</p>
        <div class="needle-figures">
          <div>
            <span class="figure-value">{fixed(beyond ?? catheter.depth_mm, 1)}<small>mm</small></span>
            <span class="figure-name">{beyond === null ? "depth from skin" : "beyond the needle"}</span>
          </div>
        </div>
        <p class="signs" role="status">
          {catheter.blocked !== null && <span class="badge badge-amber">{catheter.blocked}</span>}
          {catheter.truth !== null && <span class="badge">tip in {catheter.truth.tissue}</span>}
        </p>
      </div>
      <section aria-label="Catheter">
        <div class="choice-row" role="group" aria-label="Push on or pull back">
          {([-10, -2, 2, 10] as const).map((mm) => (
            <button type="button" key={mm} disabled={off} aria-label={`${mm < 0 ? "Pull back" : "Push on"} ${Math.abs(mm)} mm`} onClick={() => moveNeedle({ advance_mm: mm })}>
              {mm < 0 ? `↑ ${-mm}` : `↓ ${mm}`}
            </button>
          ))}
        </div>
        <p class="hint keys-hint"><kbd>N</kbd> + <kbd>PAGE UP</kbd> <kbd>PAGE DOWN</kbd> or wheel</p>
        <div class="views">
          {beyond !== null && <button type="button" disabled={off} onClick={() => act("needle_remove")}>Needle out over it</button>}
          <button type="button" disabled={off} onClick={() => act("catheter_remove")}>Take it out</button>
        </div>
      </section>
    </>
  );
}
