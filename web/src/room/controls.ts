/** Hands on the room: pedal, keys and movement joined to the link. */

import { joint, helpOpen, invert, mayAct, narrow, operator, orientation, patientsOpen, pedalDown, pedalMode, status, connected, tell } from "./state";
import * as s from "./state";
import { flipped, turned } from "../picture/orientation";
import { deleteSelected, toggleMeasuring, undo } from "../tools/measurements";
import { act, command, link } from "./room";
import { keepThumbnail } from "./thumbnails";
import { belongsToFocus, intention, takesText, worksUnderBox, type Axis, type Blade, type Focus, type Intention, type KeyPress, type NeedleAxis } from "./keys";
import { FINE, joined, limitReached, Movement, NUDGE_MS, summed, throttled } from "./movement";
import { fixed } from "./format";
import { Pedal, releaseWhenUnwatched } from "./pedal";
import { bladesAfter } from "../tools/collimation";

export const pedal = new Pedal({
  async send(down) {
    const reply = await link.command("pedal", down ? { down, mode: pedalMode.peek() } : { down });
    // A tap shorter than the way to the room is refused there; the hand is gone already, so nothing is said.
    if (!reply.ok && down && pedal.down) tell(reply.error ?? "the pedal was refused", "warning");
    return reply.ok;
  },
  heartbeat: () => link.heartbeat(),
  refusal: refusal,
  changed: (down) => void (pedalDown.value = down),
  tell: (text) => tell(text, "warning"),
});

function refusal(): string | null {
  if (narrow.peek()) return "this window is too small for X-ray: viewing only";
  if (!connected.peek()) return "no connection to the room";
  if (!operator.peek()) return "someone else operates the C-arm: this page is watching";
  if (status.peek()?.state === "FAULT") return status.peek()?.state_reason ?? "the room is in a fault";
  return null;
}

const TABLE_AXES = {
  table_longitudinal: "longitudinal_mm",
  table_lateral: "lateral_mm",
  table_height: "height_mm",
} as const;
const TABLE_WORDS = { table_longitudinal: "Table longitudinal", table_lateral: "Table lateral", table_height: "Table height" } as const;
const TABLE_STEP_MM = 5;
const NEEDLE_STEP: Readonly<Record<NeedleAxis, number>> = { needle_x: 0.5, needle_y: 0.5, needle_depth: 0.5 };
const NEEDLE_ARGS = { needle_x: "steer_x_deg", needle_y: "steer_y_deg", needle_depth: "advance_mm" } as const;
const WHEEL_MM = 1;
const isNeedle = (axis: Axis): axis is NeedleAxis => axis.startsWith("needle_");

/** Whether the axis stands at the limit it should move beyond; it is then said. */
function saidAtLimit(label: string, unit: string, value: number, min: number, max: number, delta: number): boolean {
  const limit = limitReached(value, min, max, delta);
  if (limit === null) return false;
  tell(`${label} stands at its limit of ${fixed(limit, 0)}${unit === "mm" ? " mm" : unit}`);
  return true;
}

export const movement = new Movement({
  step(axis) {
    if (axis === "orbital" || axis === "angulation") return joint(axis)?.step ?? null;
    return isNeedle(axis) ? NEEDLE_STEP[axis] : TABLE_STEP_MM;
  },
  nudge(moves) {
    if (!mayAct.peek()) return;
    const joints: Record<string, number> = {};
    const table: Record<string, number> = {};
    const needle: Record<string, number> = {};
    for (const [axis, delta] of moves) {
      if (axis === "orbital" || axis === "angulation") {
        const moved = joint(axis);
        if (moved !== null && !saidAtLimit(moved.label, moved.unit, moved.value, moved.min, moved.max, delta)) joints[moved.name] = delta;
      } else if (isNeedle(axis)) needle[NEEDLE_ARGS[axis]] = delta;
      else {
        const name = TABLE_AXES[axis];
        const now = status.peek()?.table;
        const limits = now?.limits[name];
        const value = now?.[name] ?? null;
        if (limits !== undefined && value !== null && saidAtLimit(TABLE_WORDS[axis], "mm", value, limits[0], limits[1], delta)) continue;
        table[name] = delta;
      }
    }
    if (Object.keys(joints).length > 0) act("nudge_joints", joints);
    if (Object.keys(table).length > 0) act("nudge_table", table);
    if (Object.keys(needle).length > 0) moveNeedle(needle);
  },
});

/** Swings, advances or turns the needle by so much; parts of moments too short to send are summed. */
const swingNeedle = summed((parts) => act("needle_move", parts), NUDGE_MS);
const pushCatheter = summed((parts) => act("catheter_move", parts), NUDGE_MS);

/** Moves what is in the hand: the catheter once one is through the needle, which then stays as it is. */
export function moveNeedle(parts: Readonly<Record<string, number>>): void {
  if (!status.peek()?.catheter) swingNeedle(parts);
  else if (parts.advance_mm !== undefined) pushCatheter({ advance_mm: parts.advance_mm });
}

/** Drags the marker to a place of the protocol. */
export const dragMarker = throttled((place: Readonly<Record<string, unknown>>) => act("marker_place", place), NUDGE_MS);

/** Place what is armed at `place` of the protocol, and disarm. */
export function placeArmed(place: Readonly<Record<string, unknown>>): void {
  const armed = s.placing.peek();
  s.placing.value = null;
  if (armed === null) return;
  if (armed.what === "marker") act("marker_place", place);
  else if (armed.what === "needle") placeNeedle(place);
  else act("ruler_lay", { along: armed.what === "ruler across" ? "across" : "spine", ...place });
}

export function placeNeedle(place: Readonly<Record<string, unknown>>): void {
  const type = s.needleType.peek() ?? s.needleKinds.peek()[0]?.name;
  if (type !== undefined) act("needle_place", { type, toward: s.needleToward.peek(), ...place });
}

export const nudgeJoint = (name: string, delta: number): void => act("nudge_joints", { [name]: delta });
export const moveJoints = joined((values) => act("move_joints", values), NUDGE_MS);
export const moveTable = joined((values) => act("move_table", values), NUDGE_MS);
export const setCollimation = joined((values) => act("set_collimation", values), NUDGE_MS);

export function stepPulseRate(step: -1 | 1): void {
  const technique = status.peek()?.technique;
  if (technique === undefined) return;
  const rates = technique.pulse_rates_hz;
  const at = rates.indexOf(technique.pulse_rate_hz ?? NaN);
  const next = rates[Math.min(rates.length - 1, Math.max(0, at + step))];
  if (next !== undefined && next !== technique.pulse_rate_hz) act("set_technique", { pulse_rate_hz: next });
}

export function stepZoom(step: -1 | 1): void {
  const detector = status.peek()?.detector;
  if (detector === undefined) return;
  const next = Math.min(detector.fields.length - 1, Math.max(0, detector.field_index + step));
  if (next !== detector.field_index) act("set_field", { index: next });
}

let bladesAsked: Readonly<Record<string, number>> = {};
let bladesAskedMs = -Infinity;

export function stepBlades(pair: Blade, sign: -1 | 1): void {
  const now = status.peek()?.collimation;
  if (now === undefined || now === null) return;
  // Keys come faster than the room answers: go on from what was asked for a moment ago.
  const from = performance.now() - bladesAskedMs < 400 ? { ...now, ...bladesAsked } : now;
  const changed = bladesAfter(from, pair, sign);
  bladesAsked = { ...bladesAsked, ...changed };
  if (from === now) bladesAsked = changed;
  bladesAskedMs = performance.now();
  setCollimation(bladesAsked);
}

export async function storeImage(): Promise<void> {
  const reply = await command("store_image");
  if (!reply.ok) return;
  tell("image stored");
  if (typeof reply.result.id === "string") keepThumbnail(reply.result.id, "live");
}

export function showStored(args: { id: string } | { step: -1 | 1 }): void {
  const images = status.peek()?.stored ?? [];
  if (images.length === 0) {
    tell("no stored image yet: K stores the image on LIVE");
    return;
  }
  let id: string | undefined;
  if ("id" in args) id = args.id;
  else {
    const at = images.findIndex((image) => image.id === s.shownStored.peek());
    const next = at < 0 ? (args.step < 0 ? images.length - 1 : 0) : at + args.step;
    id = images[Math.min(images.length - 1, Math.max(0, next))]?.id;
  }
  if (id === undefined) return;
  const chosen = id;
  void command("show_stored", { id: chosen }).then((reply) => {
    if (reply.ok) s.shownStored.value = chosen;
  });
}

export function toggleReplay(eventNumber?: number): void {
  const now = status.peek();
  if (now === null) return;
  if (now.replay.playing && eventNumber === undefined) act("replay_run", { stop: true });
  else if (s.recorded.peek()) tell("a recorded clip plays while SPACE is held");
  else if (now.runs.length === 0) tell("no run yet: hold SPACE for X-ray");
  else {
    s.shownStored.value = null;
    act("replay_run", eventNumber === undefined ? {} : { event_number: eventNumber });
  }
}

export function stop(): void {
  pedal.release();
  movement.stop();
  act("stop");
}

/** Guidance on or off; without a plan its panel opens, the keys at its first field. */
export function toggleGuidance(): void {
  const guidance = status.peek()?.guidance;
  if (!guidance) tell("there is nobody here to be guided in");
  else if (!guidance.allowed) tell("this exercise is without guidance", "warning");
  else if (guidance.on) act("guidance", { on: false });
  else {
    act("guidance", { on: true });
    if (guidance.chosen === null) openPlanning();
  }
}

/** Open the panel where a path is planned, the keys at its first field. */
export function openPlanning(): void {
  s.panel.value = "guidance";
  s.planningAsked.value = true;
}

/** At the plan when one is chosen and guidance is on, else at the marker. */
export function placeByKey(): void {
  const now = status.peek();
  if (now?.guidance?.chosen && now.guidance.on) placeAtPlan();
  else placeNeedle({ at_marker: true });
}

export function placeAtPlan(): void {
  act("needle_place", { type: "plan", toward: "plan" });
}

function turnStylet(): void {
  const inside = status.peek()?.needle?.stylet_in ?? null;
  if (inside === null) tell("there is no needle with a stylet in");
  else act("needle_stylet", { inside: !inside });
}

function perform(wanted: Intention): void {
  switch (wanted.do) {
    case "invert": invert.value = !invert.peek(); return;
    case "rotate": orientation.value = turned(orientation.peek()); return;
    case "flip": orientation.value = flipped(orientation.peek()); return;
    case "measure": toggleMeasuring(); return;
    case "undo": undo(); return;
    case "delete": deleteSelected(); return;
    case "help": helpOpen.value = !helpOpen.peek(); return;
    case "next": s.takeNext.value += 1; return;
    default: break;
  }
  if (!mayAct.peek()) {
    tell(refusal() ?? "not now", "warning");
    return;
  }
  switch (wanted.do) {
    case "view": act("view", { name: wanted.view }); return;
    case "zoom": stepZoom(wanted.step); return;
    case "pulse_rate": stepPulseRate(wanted.step); return;
    case "stored": showStored({ step: wanted.step }); return;
    case "blades": stepBlades(wanted.pair, wanted.sign); return;
    case "store": void storeImage(); return;
    case "replay": toggleReplay(); return;
    case "plan_view": act("plan_view", { view: wanted.view }); return;
    case "guidance": toggleGuidance(); return;
    case "place": placeByKey(); return;
    case "stylet": turnStylet(); return;
    default: return;
  }
}

function pressOf(event: KeyboardEvent): KeyPress {
  return { code: event.code, key: event.key, shift: event.shiftKey, ctrl: event.ctrlKey, alt: event.altKey, meta: event.metaKey };
}

function focusOf(target: EventTarget | null): Focus | null {
  if (!(target instanceof HTMLElement)) return null;
  return { tag: target.tagName, type: target instanceof HTMLInputElement ? target.type : "", editable: target.isContentEditable };
}

const REPEATED = new Set<Intention["do"]>(["blades", "stored"]);
const boxOpen = (): boolean => helpOpen.peek() || patientsOpen.peek() || s.doseDialog.peek() !== null;

/** Know whether text is typed; a field that is taken away with the focus in it says nothing, so look now and then. */
function watchTyping(): void {
  const look = (): void => void (s.typing.value = takesText(focusOf(document.activeElement)));
  document.addEventListener("focusin", look);
  document.addEventListener("focusout", () => queueMicrotask(look));
  setInterval(look, 250);
}

/** Somebody holds SPACE in a field as if it were the pedal: one blank, and a word. */
function heldWhileTyping(event: KeyboardEvent): boolean {
  if (event.code !== "Space" || !event.repeat || !takesText(focusOf(event.target))) return false;
  event.preventDefault();
  tell("SPACE types in this field: ESC or TAB leaves it, then SPACE is the pedal", "warning");
  return true;
}

export function listenToKeys(): void {
  let jHeld = false;
  let nHeld = false;
  watchTyping();
  window.addEventListener("keydown", (event) => {
    const press = pressOf(event);
    if (event.code === "KeyJ" && !event.ctrlKey && !event.metaKey) jHeld = true;
    if (event.code === "KeyN" && !event.ctrlKey && !event.metaKey) nHeld = true;
    if (heldWhileTyping(event) || belongsToFocus(press, focusOf(event.target), nHeld)) return;
    const wanted = intention(press, jHeld, nHeld);
    if (wanted === null || (boxOpen() && !worksUnderBox(wanted))) return;
    event.preventDefault();
    if (wanted.do === "pedal") {
      if (!event.repeat) pedal.pressBy("key");
    } else if (wanted.do === "stop") {
      if (helpOpen.peek()) helpOpen.value = false;
      if (patientsOpen.peek()) patientsOpen.value = false;
      s.doseDialog.value = null;
      s.placing.value = null;
      // The keys are the pedal's again.
      if (document.activeElement instanceof HTMLElement && takesText(focusOf(document.activeElement))) document.activeElement.blur();
      stop();
    } else if (wanted.do === "move") moveBy(event.code, wanted.axis, wanted.sign, wanted.fine, event.repeat);
    else if (!event.repeat || REPEATED.has(wanted.do)) perform(wanted);
  }, { capture: true });
  window.addEventListener("keyup", (event) => {
    if (event.code === "KeyJ") jHeld = false;
    if (event.code === "KeyN") nHeld = false;
    movement.release(event.code);
    if (event.code !== "Space") return;
    // A space that reached a button would click it on the way up.
    if (!belongsToFocus(pressOf(event), focusOf(event.target))) event.preventDefault();
    pedal.releaseBy("key");
  }, { capture: true });
  window.addEventListener("wheel", (event) => {
    if (!nHeld || event.deltaY === 0) return;
    event.preventDefault();
    // Up, away from the hand, is in.
    if (mayAct.peek()) moveNeedle({ advance_mm: -Math.sign(event.deltaY) * WHEEL_MM * (event.shiftKey ? FINE : 1) });
  }, { capture: true, passive: false });
  window.addEventListener("blur", () => {
    jHeld = false;
    nHeld = false;
    movement.stop();
  });
  releaseWhenUnwatched(pedal, window, document);
  // Lost, or silent for so long that it must be taken for lost.
  s.connected.subscribe((answering) => {
    if (answering) return;
    pedal.release();
    movement.stop();
  });
}

function moveBy(code: string, axis: Axis, sign: -1 | 1, fine: boolean, repeat: boolean): void {
  if (mayAct.peek()) movement.press(code, axis, sign, fine);
  else if (!repeat) tell(refusal() ?? "not now", "warning");
}
