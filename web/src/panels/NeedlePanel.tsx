/** A marker on the skin, a needle from it, and contrast medium through the needle. */

import { useEffect, useState } from "preact/hooks";

import { Amount } from "./Amount";
import type { NeedleKind, NeedleStatus } from "../link/types";
import { moveNeedle, placeNeedle } from "../room/controls";
import { fixed } from "../room/format";
import { act } from "../room/room";
import * as s from "../room/state";
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
  if (now === null) return null;
  if (now.needle === undefined) return <p class="hint">There is nobody here whom a needle could be put into.</p>;
  const off = !s.mayAct.value;
  const { needle } = now;
  return (
    <>
      {needle === null ? <><Marker off={off} /><Placing off={off} /></> : (
        <>
          <InHand needle={needle} off={off} />
          <Inject needle={needle} off={off} />
          <Marker off={off} />
        </>
      )}
      <Teaching off={off} />
    </>
  );
}

/** A button that arms a click; pressed again it disarms. */
function Arm({ what, where, off, children }: { what: "marker" | "needle"; where: "picture" | "room"; off: boolean; children: string }) {
  const on = s.placing.value?.what === what && s.placing.value.where === where;
  const blind = where === "picture" && s.monitors.live.value.painted === null;
  return (
    <button type="button" class={on ? "is-on" : ""} aria-pressed={on} disabled={off || blind} {...(blind ? { title: "Take an X-ray first" } : {})}
      onClick={() => {
        s.placing.value = on ? null : { what, where };
        if (where === "room" && !on) s.near.value = true;
        if (where === "room" && !on && s.panel.peek() === "needle" && matchMedia("(max-width: 1599px)").matches) s.panel.value = "room";
      }}>{children}</button>
  );
}

function ArmedHint({ what }: { what: "marker" | "needle" }) {
  const placing = s.placing.value;
  if (placing?.what !== what) return null;
  return <p class="hint armed" role="status">Click {placing.where === "picture" ? "on LIVE" : "on the skin in the room view"} where the {what} shall be. ESC: not.</p>;
}

function Marker({ off }: { off: boolean }) {
  const there = (s.status.value?.marker ?? null) !== null;
  return (
    <section aria-label="Skin marker">
      <h3>Skin marker</h3>
      <div class="views">
        <Arm what="marker" where="picture" off={off}>Click on LIVE</Arm>
        <button type="button" disabled={off} onClick={() => act("marker_place", {})}>Mid-picture</button>
        {there && <button type="button" disabled={off} onClick={() => act("marker_remove")}>Remove</button>}
      </div>
      <ArmedHint what="marker" />
      {there && (
        <div class="pad" role="group" aria-label="Move the marker by 5 mm, with SHIFT by 1 mm">
          {([["to head", 0, 1], ["to feet", 0, -1], ["to left", 1, 0], ["to right", -1, 0]] as const).map(([text, left, head]) => (
            <button type="button" key={text} class="plain" disabled={off} aria-label={`Marker ${text} 5 mm`} title="The patient's left and right; with SHIFT 1 mm" onClick={(event) => {
              const mm = event.shiftKey ? 1 : 5;
              act("marker_move", { left_mm: left * mm, head_mm: head * mm });
            }}>{text}</button>
          ))}
        </div>
      )}
    </section>
  );
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
    <section aria-label="Needle">
      <h3>Needle</h3>
      <p class="needle-name">{needle.label}</p>
      <div class="needle-figures">
        <div><span class="figure-value">{fixed(needle.depth_mm, 1)}<small>mm</small></span><span class="figure-name">depth from skin</span></div>
        <Resistance needle={needle} />
      </div>
      <Signs needle={needle} />
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
      {needle.losses > 0 && <span key={needle.losses} class="gave-way" role="status">resistance lost{needle.losses > 1 && ` (${needle.losses})`}</span>}
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

function Inject({ needle, off }: { needle: NeedleStatus; off: boolean }) {
  const [ml, setMl] = useState(1);
  const [strength, setStrength] = useState(240);
  const [rate, setRate] = useState(0.2);
  const contrast = s.status.value?.contrast ?? null;
  const running = contrast?.injecting === true;
  const closed = needle.stylet_in === true;
  return (
    <section aria-label="Contrast medium">
      <h3>Contrast medium</h3>
      <div class="inject">
        <Amount label="Volume" unit="ml" value={ml} min={0.1} max={20} step={0.1} onSet={setMl} />
        <Amount label="Strength" unit="mg I/ml" value={strength} min={0} max={400} step={10} onSet={setStrength} />
        <Amount label="Rate" unit="ml/s" value={rate} min={0.05} max={5} step={0.05} onSet={setRate} />
      </div>
      <div class="views">
        <button type="button" class="accent" disabled={off || closed || running} onClick={() => act("inject", { volume_ml: ml, concentration_mgi_ml: strength, rate_ml_s: rate })}>Inject</button>
        <button type="button" disabled={off || !running} onClick={() => act("inject_stop")}>Stop injecting</button>
      </div>
      {closed && <p class="hint">Take the stylet out to inject.</p>}
      {contrast !== null && (
        <p class="hint" role="status">{running ? "Injecting" : "Injected"} {fixed(contrast.given_ml, 1)} of {fixed(contrast.asked_ml, 1)} ml{truthText(contrast.truth)}</p>
      )}
    </section>
  );
}

function truthText(truth: Readonly<Record<string, number>> | null): string {
  if (truth === null) return "";
  const places = Object.entries(truth).filter(([, ml]) => ml >= 0.005).map(([place, ml]) => `${place} ${fixed(ml, 2)} ml`);
  return places.length === 0 ? "" : `: ${places.join(", ")}`;
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
