/** Where the C-arm and the table stand, and moving them. */

import { moveJoints, moveTable, nudgeJoint } from "../room/controls";
import { act } from "../room/room";
import { mayAct, status } from "../room/state";
import type { TableAxis } from "../link/types";
import { FINE } from "../room/movement";
import { Slider } from "./Sliders";

const TABLE: readonly { axis: TableAxis; label: string; unit: string; step: number; keys?: string }[] = [
  { axis: "longitudinal_mm", label: "Table longitudinal", unit: "mm", step: 5, keys: "Q E" },
  { axis: "lateral_mm", label: "Table lateral", unit: "mm", step: 5, keys: "H U" },
  { axis: "height_mm", label: "Table height", unit: "mm", step: 5, keys: "W S" },
  { axis: "tilt_deg", label: "Table tilt", unit: "°", step: 1 },
  { axis: "cradle_deg", label: "Table cradle", unit: "°", step: 1 },
  { axis: "yaw_deg", label: "Table turn", unit: "°", step: 1 },
];

const JOINT_KEYS = ["← →", "↑ ↓"];

export function Views() {
  const off = !mayAct.value;
  return (
    <div class="views" role="group" aria-label="Views in the patient's terms">
      <button type="button" disabled={off} onClick={() => act("view", { name: "ap" })}>AP <kbd>A</kbd></button>
      <button type="button" disabled={off} onClick={() => act("view", { name: "lateral" })}>Lateral <kbd>L</kbd></button>
      <button type="button" disabled={off} onClick={() => act("view", { name: "oblique" })}>Oblique <kbd>O</kbd></button>
    </div>
  );
}

export function CArmPanel() {
  const now = status.value;
  if (now === null) return null;
  const off = !mayAct.value;
  const { table } = now;
  return (
    <>
      {now.carm.joints.map((joint, index) => {
        const keys = JOINT_KEYS[index];
        return (
          <Slider key={joint.name} label={joint.label} unit={joint.unit} value={joint.value} min={joint.min} max={joint.max} step={joint.step}
            fine={Math.max(0.1, Math.round(joint.step * FINE * 10) / 10)} disabled={off} {...(keys === undefined ? {} : { keys })}
            onSet={(value) => moveJoints({ [joint.name]: value })} onNudge={(delta) => nudgeJoint(joint.name, delta)} />
        );
      })}
      {table === null ? <p class="hint">A recorded clip: there is no C-arm or table to move.</p> : <h3>Table</h3>}
      {TABLE.map(({ axis, label, unit, step, keys }) => {
        const limits = table?.limits[axis];
        if (table === null || limits === undefined) return null;
        return (
          <Slider key={axis} label={label} unit={unit} value={table[axis]} min={limits[0]} max={limits[1]} step={step} fine={1}
            disabled={off} {...(keys === undefined ? {} : { keys })}
            onSet={(value) => moveTable({ [axis]: value })} onNudge={(delta) => act("nudge_table", { [axis]: delta })} />
        );
      })}
    </>
  );
}
