/** Collimator blades: symmetric steps by key, edges as fractions of the picture for drawing. */

import type { Collimation } from "../link/types";
import type { Blade } from "../room/keys";

export const BLADE_STEP_MM = 5;
export const SMALLEST_HALF_MM = 10;

/** Blades after one key step: right/up opens the pair, left/down closes it, within the field. */
export function bladesAfter(now: Collimation, pair: Blade, sign: -1 | 1): Record<string, number> {
  const half = now.field_mm / 2;
  const step = (value: number): number => Math.min(half, Math.max(SMALLEST_HALF_MM, value + sign * BLADE_STEP_MM));
  return pair === "left_right"
    ? { left_mm: step(now.left_mm), right_mm: step(now.right_mm) }
    : { upper_mm: step(now.upper_mm), lower_mm: step(now.lower_mm) };
}

export interface BladeEdges {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Blade edges as fractions of a picture `widthMm` × `heightMm` at the detector, or null when all lie outside it. */
export function bladeEdges(now: Collimation, widthMm: number, heightMm: number): BladeEdges | null {
  const clip = (x: number): number => Math.min(1, Math.max(0, x));
  const edges = {
    left: clip(0.5 - now.left_mm / widthMm),
    right: clip(0.5 + now.right_mm / widthMm),
    top: clip(0.5 - now.upper_mm / heightMm),
    bottom: clip(0.5 + now.lower_mm / heightMm),
  };
  const open = edges.left < 0.002 && edges.top < 0.002 && edges.right > 0.998 && edges.bottom > 0.998;
  return open ? null : edges;
}
