/** What lies on the skin: the marker that shows where a needle shall go in, and the ruler that counts levels. */

import { act } from "../room/room";
import * as s from "../room/state";
import { Arm, ArmedHint } from "./Arm";

export function Marker({ off }: { off: boolean }) {
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
      {there && !s.status.value?.needle && !s.status.value?.catheter && s.placing.value === null && <p class="hint">Drag its ring on LIVE, or:</p>}
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

export function Ruler({ off }: { off: boolean }) {
  const there = (s.status.value?.ruler ?? null) !== null;
  return (
    <section aria-label="Ruler">
      <h3>Ruler</h3>
      <div class="views">
        <Arm what="ruler along the spine" where="picture" off={off}>Along spine</Arm>
        <Arm what="ruler across" where="picture" off={off}>Across</Arm>
        {there && <button type="button" disabled={off} aria-label="Take the ruler away" onClick={() => act("ruler_take")}>Take away</button>}
      </div>
      <ArmedHint what="ruler" />
    </section>
  );
}
