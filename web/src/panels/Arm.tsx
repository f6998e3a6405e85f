/** A button that arms a click on LIVE or in the room view, and the words that say so. */

import * as s from "../room/state";

interface ArmProps extends s.Placing {
  readonly off: boolean;
  readonly children: string;
}

/** A button that arms a click; pressed again it disarms. */
export function Arm({ what, where, off, children }: ArmProps) {
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

export function ArmedHint({ what }: { what: "marker" | "needle" | "ruler" }) {
  const placing = s.placing.value;
  if (placing?.what.startsWith(what) !== true) return null;
  return <p class="hint armed" role="status">Click {placing.where === "picture" ? "on LIVE" : "on the skin in the room view"} where the {what} shall be. ESC: not.</p>;
}
