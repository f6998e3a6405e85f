/** The needle: placed, in the hand, what is felt; with what lies on the skin, goes through it, and flows out of it. */

import { useEffect } from "preact/hooks";

import type { CatheterStatus, NeedleKind, NeedleStatus } from "../link/types";
import { moveNeedle, placeNeedle } from "../room/controls";
import { fixed } from "../room/format";
import { act } from "../room/room";
import * as s from "../room/state";
import { Arm, ArmedHint } from "./Arm";
import { CatheterInHand, fittingKinds, Thread } from "./Catheter";
import { Inject } from "./Inject";
import { Marker, Ruler } from "./OnTheSkin";
import { Choice } from "./Sliders";

async function fetchKinds(): Promise<void> {
  const answer = await fetch("/room/needles.json");
  if (answer.ok) s.needleKinds.value = (await answer.json()) as NeedleKind[];
}

export function NeedlePanel() {
  useEffect(() => {
    if (s.needleKinds.peek().length === 0) void fetchKinds().catch(() => s.tell("the room does not say what needles there are", "warning"));
  }, []);
  const now = s.status.value;
  const inHand = now?.catheter ? "catheter" : now?.needle ? "needle" : "";
  useEffect(() => {
    // Another thing in the hand: its buttons are at the top.
    const panel = document.getElementById("panel");
    if (panel !== null) panel.scrollTop = 0;
  }, [inHand]);
  if (now === null) return null;
  if (now.needle === undefined) return <p class="hint">There is nobody here whom a needle could be put into.</p>;
  const off = !s.mayAct.value;
  const needle = now.needle;
  const catheter = now.catheter ?? null;
  return (
    <>
      {catheter !== null && <CatheterInHand catheter={catheter} off={off} />}
      {catheter === null && needle === null && <><Marker off={off} /><Placing off={off} /></>}
      {catheter === null && needle !== null && <><InHand needle={needle} off={off} /><Thread needle={needle} off={off} /></>}
      {(catheter !== null || needle !== null) && <Inject closed={whyClosed(needle, catheter)} off={off} />}
      {(catheter !== null || needle !== null) && <Marker off={off} />}
      <Ruler off={off} />
      <Teaching off={off} />
    </>
  );
}

function whyClosed(needle: NeedleStatus | null, catheter: CatheterStatus | null): string {
  if (catheter !== null) return catheter.hollow ? "" : "The lead is solid: nothing can be injected through it.";
  if (needle !== null && s.needleKinds.value.find((kind) => kind.name === needle.type)?.bore_mm === 0) return "It is solid: nothing can be injected through it.";
  if (needle?.stylet_in !== true) return "";
  return `Take the stylet out to inject${fittingKinds(needle).length > 0 ? " or to thread a catheter" : ""}.`;
}

function Placing({ off }: { off: boolean }) {
  const now = s.status.value;
  const kinds = s.needleKinds.value;
  const groups = [...new Set(kinds.map((kind) => kind.group ?? "Needles"))];
  const marked = (now?.marker ?? null) !== null;
  return (
    <section aria-label="Needle">
      <h3>Needle</h3>
      <label class="field"><span>Type</span>
        <select aria-label="Needle type" disabled={off} value={s.needleType.value ?? kinds[0]?.name ?? ""} onChange={(event) => (s.needleType.value = event.currentTarget.value)}>
          {groups.map((group) => (
            <optgroup key={group} label={group}>
              {kinds.filter((kind) => (kind.group ?? "Needles") === group).map((kind) => <option key={kind.name} value={kind.name}>{kind.label}</option>)}
            </optgroup>
          ))}
        </select>
      </label>
      <Choice label="Points" value={s.needleToward.value} disabled={off}
        options={[{ value: "beam", text: "along the beam" }, { value: "skin", text: "straight in" }]} onChoose={(how) => (s.needleToward.value = how)} />
      <div class="views wrap">
        <button type="button" class={marked ? "accent" : ""} disabled={off || !marked} onClick={() => placeNeedle({ at_marker: true })}>At the marker</button>
        <Arm what="needle" where="picture" off={off}>Click on LIVE</Arm>
        <Arm what="needle" where="room" off={off}>In the room</Arm>
      </div>
      <ArmedHint what="needle" />
      {!marked && s.placing.value === null && <p class="hint">Place a marker, look at it under X-ray, move it over the target; then put the needle there.</p>}
    </section>
  );
}

function InHand({ needle, off }: { needle: NeedleStatus; off: boolean }) {
  return (
    <>
      <div class="in-hand" role="group" aria-label="Needle in hand">
        <p class="needle-name">{needle.label}</p>
        <div class="needle-figures">
          <div><span class="figure-value">{fixed(needle.depth_mm, 1)}<small>mm</small></span><span class="figure-name">depth from skin</span></div>
          <Resistance needle={needle} />
        </div>
        <Signs needle={needle} />
      </div>
      <section aria-label="Needle">
        <div class="choice-row" role="group" aria-label="Advance or withdraw">
          {([-5, -1, 1, 5] as const).map((mm) => (
            <button type="button" key={mm} disabled={off} aria-label={`${mm < 0 ? "Withdraw" : "Advance"} ${Math.abs(mm)} mm`} onClick={() => moveNeedle({ advance_mm: mm })}>
              {mm < 0 ? `↑ ${-mm}` : `↓ ${mm}`}
            </button>
          ))}
        </div>
        <p class="hint keys-hint"><kbd>N</kbd> + <kbd>PAGE UP</kbd> <kbd>PAGE DOWN</kbd> or wheel</p>
        <div class="choice-row" role="group" aria-label="Swing the hub, as LIVE shows it">
          {([["←", "left", -1, 0], ["→", "right", 1, 0], ["↑", "up", 0, 1], ["↓", "down", 0, -1]] as const).map(([sign, word, x, y]) => (
            <button type="button" key={word} disabled={off} aria-label={`Hub 1° ${word}`} onClick={() => moveNeedle({ steer_x_deg: x, steer_y_deg: y })}>{sign}</button>
          ))}
          <button type="button" disabled={off} aria-label="Turn 45° left" onClick={() => moveNeedle({ rotate_deg: -45 })}>↺</button>
          <button type="button" disabled={off} aria-label="Turn 45° right" onClick={() => moveNeedle({ rotate_deg: 45 })}>↻</button>
        </div>
        <p class="hint keys-hint"><kbd>N</kbd> + arrows swing the hub{needle.rotation_deg !== null && ` · turned ${fixed(needle.rotation_deg, 0)}°`}</p>
        <div class="views">
          {needle.stylet_in !== null && (
            <button type="button" disabled={off} aria-pressed={needle.stylet_in} onClick={() => act("needle_stylet", { inside: !needle.stylet_in })}>
              {needle.stylet_in ? "Take stylet out" : "Put stylet in"}
            </button>
          )}
          <button type="button" disabled={off} onClick={() => act("needle_remove")}>Remove needle</button>
        </div>
      </section>
    </>
  );
}

/** The bar of what the hand feels; a word too, and a flash where it gives way. */
function Resistance({ needle }: { needle: NeedleStatus }) {
  const felt = needle.resistance;
  const word = felt === null ? "not known" : felt < 0.08 ? "free" : felt < 0.3 ? "soft" : felt < 0.65 ? "firm" : "hard";
  return (
    <div class="resistance">
      <span class="figure-name">resistance: {word}</span>
      <meter aria-label="Resistance" min={0} max={1} value={felt ?? 0} />
      {needle.losses > 0 && <span key={needle.losses} class="gave-way" role="status">gave way{needle.losses > 1 && ` ×${needle.losses}`}</span>}
    </div>
  );
}

function Signs({ needle }: { needle: NeedleStatus }) {
  return (
    <p class="signs" role="status">
      {needle.returns === "csf" && <span class="badge badge-on">clear fluid returns</span>}
      {needle.returns === "blood" && <span class="badge badge-stop">blood returns</span>}
      {needle.blocked !== null && <span class="badge badge-amber">{needle.blocked}</span>}
      {needle.truth !== null && <span class="badge">tip in {needle.truth.tissue}{needle.truth.force_n !== null && `, ${fixed(needle.truth.force_n, 1)} N`}</span>}
    </p>
  );
}

function Teaching({ off }: { off: boolean }) {
  const on = s.status.value?.teaching?.show_truth === true;
  return (
    <section aria-label="Teaching">
      <h3>Teaching</h3>
      <div class="views">
        <button type="button" class={on ? "is-on" : ""} aria-pressed={on} disabled={off} onClick={() => act("show_truth", { on: !on })}>Show truth</button>
      </div>
      <p class="hint">{on ? "Shown is what a real room does not know: the tissue at the tip, where the medium goes." : "A real room does not know what the tip is in."}</p>
    </section>
  );
}
