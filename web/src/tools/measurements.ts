/** The measurements on both monitors: placing, dragging, deleting, undoing. Points are fractions of the picture. */

import { signal } from "@preact/signals";

import type { Channel } from "../link/decode";
import type { Point } from "../picture/orientation";
import { monitors } from "../room/state";

export type Kind = "distance" | "angle";

export interface Measurement {
  readonly id: number;
  readonly channel: Channel;
  readonly kind: Kind;
  readonly points: readonly Point[];
  /** Of the picture it was placed on; on another one it is drawn faded. */
  readonly pictureKey: string;
}

export const measuring = signal<Kind | null>(null);
export const measurements = signal<readonly Measurement[]>([]);
export const selected = signal<number | null>(null);
export const depthMm = signal(0);
export const depthUncertaintyMm = signal(50);

const history: (readonly Measurement[])[] = [];
let nextId = 1;

export const pointsNeeded = (kind: Kind): number => (kind === "distance" ? 2 : 3);
export const complete = (m: Measurement): boolean => m.points.length === pointsNeeded(m.kind);

/** Names what is on a monitor: a measurement belongs to one picture, not to the glass. */
export function pictureKey(channel: Channel): string {
  const painted = monitors[channel].peek().painted;
  return painted === null ? "" : `${painted.eventNumber} ${painted.kind === "stored" ? `s${painted.index}` : "run"}`;
}

function remember(): void {
  history.push(measurements.peek());
  if (history.length > 100) history.shift();
}

export function toggleMeasuring(): void {
  const now = measuring.peek();
  dropUnfinished();
  measuring.value = now === null ? "distance" : now === "distance" ? "angle" : null;
}

export function setMeasuring(kind: Kind | null): void {
  dropUnfinished();
  measuring.value = kind;
}

/** A click on a picture while measuring: begins a measurement or adds its next point. */
export function placePoint(channel: Channel, point: Point): void {
  const kind = measuring.peek();
  if (kind === null) return;
  const open = measurements.peek().find((m) => m.channel === channel && !complete(m));
  if (open === undefined) {
    dropUnfinished();
    remember();
    const made = { id: nextId++, channel, kind, points: [point], pictureKey: pictureKey(channel) };
    measurements.value = [...measurements.peek(), made];
    selected.value = made.id;
    return;
  }
  measurements.value = measurements.peek().map((m) => (m === open ? { ...m, points: [...m.points, point] } : m));
}

export function beginDrag(): void {
  remember();
}

export function movePoint(id: number, index: number, point: Point): void {
  measurements.value = measurements.peek().map((m) =>
    m.id === id ? { ...m, points: m.points.map((p, i) => (i === index ? point : p)) } : m,
  );
}

export function deleteSelected(): void {
  const id = selected.peek();
  if (id === null) return;
  remember();
  measurements.value = measurements.peek().filter((m) => m.id !== id);
  selected.value = measurements.peek().at(-1)?.id ?? null;
}

export function deleteMeasurement(id: number): void {
  selected.value = id;
  deleteSelected();
}

export function undo(): void {
  const before = history.pop();
  if (before === undefined) return;
  measurements.value = before;
  if (!before.some((m) => m.id === selected.peek())) selected.value = before.at(-1)?.id ?? null;
}

export function clearMeasurements(channel: Channel): void {
  measurements.value = measurements.peek().filter((m) => m.channel !== channel);
  history.length = 0;
}

function dropUnfinished(): void {
  if (measurements.peek().every(complete)) return;
  measurements.value = measurements.peek().filter(complete);
}

/** The handle of a finished or growing measurement within `reach` (fractions of the picture) of `at`. */
export function handleAt(channel: Channel, at: Point, reach: number): { id: number; index: number } | null {
  let best: { id: number; index: number } | null = null;
  let nearest = reach;
  for (const m of measurements.peek()) {
    if (m.channel !== channel) continue;
    m.points.forEach((p, index) => {
      const far = Math.hypot(p.x - at.x, p.y - at.y);
      if (far <= nearest) {
        nearest = far;
        best = { id: m.id, index };
      }
    });
  }
  return best;
}
