/** Smooth movement while keys are held: at most 20 nudges a second, all axes in one message per kind. */

import type { Axis } from "./keys";

export const NUDGE_MS = 50;
export const FINE = 0.2;

export interface MovementPorts {
  /** Step of one nudge of an axis, in its unit; null when this room has no such axis. */
  step(axis: Axis): number | null;
  nudge(moves: ReadonlyMap<Axis, number>): void;
}

export class Movement {
  private readonly held = new Map<string, { axis: Axis; sign: -1 | 1; fine: boolean }>();
  private timer: ReturnType<typeof setInterval> | null = null;

  constructor(private readonly ports: MovementPorts) {}

  press(code: string, axis: Axis, sign: -1 | 1, fine: boolean): void {
    const fresh = !this.held.has(code);
    this.held.set(code, { axis, sign, fine });
    if (!fresh || this.timer !== null) return;
    this.send();
    this.timer = setInterval(() => this.send(), NUDGE_MS);
  }

  release(code: string): void {
    this.held.delete(code);
    if (this.held.size === 0) this.stop();
  }

  stop(): void {
    this.held.clear();
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  private send(): void {
    const moves = new Map<Axis, number>();
    for (const { axis, sign, fine } of this.held.values()) {
      const step = this.ports.step(axis);
      if (step !== null) moves.set(axis, (moves.get(axis) ?? 0) + sign * step * (fine ? FINE : 1));
    }
    if (moves.size > 0) this.ports.nudge(moves);
  }
}

/** The limit at which an axis stands that should move by `delta` beyond it; null while there is way left. */
export function limitReached(value: number, min: number, max: number, delta: number): number | null {
  const near = 1e-6 * Math.max(1, max - min);
  if (delta > 0 && value >= max - near) return max;
  return delta < 0 && value <= min + near ? min : null;
}

/** As `throttled`, for parts of one whole: what waits is joined, so that no part is lost to another. */
export function joined(send: (parts: Readonly<Record<string, number>>) => void, everyMs: number): (parts: Readonly<Record<string, number>>) => void {
  let waiting: Record<string, number> = {};
  const flush = throttled(() => {
    const parts = waiting;
    waiting = {};
    if (Object.keys(parts).length > 0) send(parts);
  }, everyMs);
  return (parts) => {
    waiting = { ...waiting, ...parts };
    flush(undefined);
  };
}

/** As `joined`, for steps: what waits is added up, so that no step is lost. */
export function summed(send: (steps: Readonly<Record<string, number>>) => void, everyMs: number): (steps: Readonly<Record<string, number>>) => void {
  let waiting: Record<string, number> = {};
  const flush = throttled(() => {
    const steps = waiting;
    waiting = {};
    if (Object.keys(steps).length > 0) send(steps);
  }, everyMs);
  return (steps) => {
    for (const [name, step] of Object.entries(steps)) waiting[name] = (waiting[name] ?? 0) + step;
    flush(undefined);
  };
}

/** Send at most every `everyMs`, always the newest value and always the last one. */
export function throttled<T>(send: (value: T) => void, everyMs: number): (value: T) => void {
  let waiting: { value: T } | null = null;
  let timer: ReturnType<typeof setTimeout> | null = null;
  const fire = (): void => {
    timer = null;
    if (waiting === null) return;
    const { value } = waiting;
    waiting = null;
    send(value);
    timer = setTimeout(fire, everyMs);
  };
  return (value) => {
    waiting = { value };
    if (timer === null) fire();
  };
}
