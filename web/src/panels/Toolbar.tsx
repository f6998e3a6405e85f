/** Under the monitors: the pedal for mouse and touch, and what is done to pictures. */

import type { ComponentChildren } from "preact";

import { flipped, turned, UPRIGHT } from "../picture/orientation";
import { stop, storeImage, toggleReplay } from "../room/controls";
import { act } from "../room/room";
import * as s from "../room/state";
import { measuring, toggleMeasuring } from "../tools/measurements";
import { HoldButton } from "./HoldButton";

interface ToolProps {
  readonly keyName?: string;
  readonly label: string;
  readonly pressed?: boolean;
  readonly disabled?: boolean;
  readonly onClick: () => void;
  readonly children: ComponentChildren;
}

function Tool({ keyName, label, pressed, disabled, onClick, children }: ToolProps) {
  return (
    <button type="button" class={`tool ${pressed === true ? "is-on" : ""}`} aria-description={label}
      title={keyName === undefined ? label : `${label} (${keyName})`}
      {...(pressed === undefined ? {} : { "aria-pressed": pressed })}
      {...(keyName === undefined ? {} : { "aria-keyshortcuts": keyName })}
      disabled={disabled ?? false} onClick={onClick}>
      <span>{children}</span>
      {keyName !== undefined && <kbd>{keyName}</kbd>}
    </button>
  );
}

export function Toolbar() {
  const now = s.status.value;
  const recorded = s.recorded.value;
  const act1 = s.mayAct.value;
  const hasLive = s.monitors.live.value.painted !== null;
  const kind = measuring.value;
  const turn = s.orientation.value;
  return (
    <div class="toolbar" role="toolbar" aria-label="X-ray and picture">
      <HoldButton className="pedal">
        <span>{s.pedalDown.value ? "Release to stop" : recorded ? "Hold to play" : "Hold for X-ray"}</span><kbd class={s.typing.value ? "is-off" : ""}>SPACE</kbd>
      </HoldButton>
      <button type="button" class="tool stop" title="Stop any exposure" aria-description="Stop any exposure" disabled={!s.connected.value} onClick={stop}>
        <span>Stop</span><kbd>ESC</kbd>
      </button>
      <span class="tool-group">
        <Tool keyName="K" label="Store the image on LIVE" disabled={!act1 || !hasLive} onClick={() => void storeImage()}>Store</Tool>
        <Tool label="Copy LIVE to REFERENCE" disabled={!act1 || !hasLive} onClick={() => {
          s.shownStored.value = null;
          act("to_reference");
        }}>To reference</Tool>
        <Tool keyName="P" label="Replay the last run on REFERENCE" pressed={now?.replay.playing === true}
          disabled={!act1 || (now?.runs.length ?? 0) === 0} onClick={() => toggleReplay()}>Replay</Tool>
      </span>
      <span class="tool-group">
        <Tool keyName="I" label="Invert" pressed={s.invert.value} onClick={() => (s.invert.value = !s.invert.value)}>Invert</Tool>
        <Tool keyName="R" label="Turn by 90 degrees" pressed={turn.turns !== 0} onClick={() => (s.orientation.value = turned(turn))}>Turn</Tool>
        <Tool keyName="F" label="Flip left to right" pressed={turn.flip} onClick={() => (s.orientation.value = flipped(turn))}>Flip</Tool>
        <Tool label="Upright, window of the run" onClick={() => {
          s.orientation.value = UPRIGHT;
          s.invert.value = false;
          s.updateMonitor("live", { window: null });
          s.updateMonitor("reference", { window: null });
        }}>Reset</Tool>
        <Tool keyName="M" label={`Measure: ${kind ?? "off"}`} pressed={kind !== null} onClick={() => {
          toggleMeasuring();
          if (measuring.peek() !== null) s.panel.value = "measure";
        }}>{kind === null ? "Measure" : kind === "distance" ? "Distance" : "Angle"}</Tool>
      </span>
      <Tool keyName="?" label="All keys" pressed={s.helpOpen.value} onClick={() => (s.helpOpen.value = !s.helpOpen.value)}>Keys</Tool>
    </div>
  );
}
