/** Mouse and fingers on a picture: window and level, placing and dragging of measurement handles. */

import type { Channel } from "../link/decode";
import { pictureFromSeen, type Point } from "../picture/orientation";
import { draggedWindow, type DisplayWindow } from "../picture/window";
import { dragMarker, placeArmed } from "../room/controls";
import { painters } from "../room/room";
import { mayAct, monitors, orientation, placing, updateMonitor } from "../room/state";
import { markerSpot } from "./overlay";
import { beginDrag, handleAt, measuring, movePoint, placePoint, selected } from "./measurements";

const REACH_PX = 14;
const clamp = (x: number): number => Math.min(1, Math.max(0, x));

type Grip =
  | { readonly kind: "handle"; readonly id: number; readonly index: number }
  | { readonly kind: "marker" }
  | { readonly kind: "window"; readonly from: Point; readonly start: DisplayWindow };

function holdsMarker(at: Point, reach: number): boolean {
  const spot = mayAct.peek() ? markerSpot() : null;
  return spot !== null && Math.hypot(spot.x - at.x, spot.y - at.y) < reach;
}

/** Hands on `element`; places are those on `plate`, which the picture fills. */
export function attachHands(element: HTMLElement, plate: HTMLElement, channel: Channel): () => void {
  const fingers = new Map<number, Point>();
  let grip: Grip | null = null;

  const seenAt = (event: PointerEvent | MouseEvent): Point => {
    const box = plate.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  };
  const pictureAt = (event: PointerEvent): Point => {
    const p = pictureFromSeen(seenAt(event), orientation.peek());
    return { x: clamp(p.x), y: clamp(p.y) };
  };
  const middle = (): Point => {
    let x = 0;
    let y = 0;
    for (const p of fingers.values()) {
      x += p.x / fingers.size;
      y += p.y / fingers.size;
    }
    return { x, y };
  };
  const beginWindow = (from: Point): void => {
    const start = painters[channel].window;
    if (start !== null) grip = { kind: "window", from, start };
  };

  const down = (event: PointerEvent): void => {
    if (event.button !== 0 || monitors[channel].peek().painted === null) return;
    if (channel === "live" && placing.peek()?.where === "picture") {
      const at = pictureAt(event);
      placeArmed({ picture: { row: at.y, col: at.x } });
      return;
    }
    element.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, seenAt(event));
    if (event.pointerType === "touch" && fingers.size === 2) {
      beginWindow(middle());
      return;
    }
    const at = pictureAt(event);
    const hit = handleAt(channel, at, REACH_PX / element.clientWidth);
    if (hit !== null) {
      beginDrag();
      selected.value = hit.id;
      grip = { kind: "handle", ...hit };
    } else if (channel === "live" && holdsMarker(at, REACH_PX / element.clientWidth)) grip = { kind: "marker" };
    else if (measuring.peek() !== null) placePoint(channel, at);
    else if (event.pointerType !== "touch") beginWindow(seenAt(event));
  };
  const move = (event: PointerEvent): void => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, seenAt(event));
    if (grip === null) return;
    if (grip.kind === "handle") {
      movePoint(grip.id, grip.index, pictureAt(event));
      return;
    }
    if (grip.kind === "marker") {
      const to = pictureAt(event);
      dragMarker({ picture: { row: to.y, col: to.x } });
      return;
    }
    const at = middle();
    const dx = at.x - grip.from.x;
    const dy = at.y - grip.from.y;
    if (Math.hypot(dx, dy) * element.clientWidth < 3) return;
    updateMonitor(channel, { window: draggedWindow(grip.start, dx, dy) });
  };
  const up = (event: PointerEvent): void => {
    fingers.delete(event.pointerId);
    grip = null;
  };
  const automatic = (): void => {
    if (measuring.peek() === null) updateMonitor(channel, { window: null });
  };

  element.addEventListener("pointerdown", down);
  element.addEventListener("pointermove", move);
  element.addEventListener("pointerup", up);
  element.addEventListener("pointercancel", up);
  element.addEventListener("dblclick", automatic);
  return () => {
    element.removeEventListener("pointerdown", down);
    element.removeEventListener("pointermove", move);
    element.removeEventListener("pointerup", up);
    element.removeEventListener("pointercancel", up);
    element.removeEventListener("dblclick", automatic);
  };
}
