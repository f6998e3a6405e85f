/** A pedal for mouse and touch: X-ray while it is held. */

import type { ComponentChildren } from "preact";

import { pedal } from "../room/controls";
import { busy, mayAct, pedalDown, status } from "../room/state";

export function HoldButton({ className, children }: { className: string; children: ComponentChildren }) {
  const up = (event: PointerEvent): void => pedal.releaseBy(`pointer ${event.pointerId}`);
  return (
    <button
      type="button"
      class={`${className} ${pedalDown.value ? "is-down" : ""}`}
      disabled={!mayAct.value || status.value?.state === "FAULT" || busy.value}
      aria-pressed={pedalDown.value}
      aria-description="X-ray pedal: X-ray while held"
      onPointerDown={(event) => {
        if (event.button !== 0) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        pedal.pressBy(`pointer ${event.pointerId}`);
      }}
      onPointerUp={up}
      onPointerCancel={up}
      onLostPointerCapture={up}
      onContextMenu={(event) => event.preventDefault()}
      onKeyDown={(event) => {
        if (event.key === "Enter" && !event.repeat) pedal.pressBy("enter");
      }}
      onKeyUp={(event) => {
        if (event.key === "Enter") pedal.releaseBy("enter");
      }}
      onBlur={() => pedal.releaseBy("enter")}
    >
      {children}
    </button>
  );
}
