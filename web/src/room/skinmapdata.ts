/** What the page knows of the skin dose; fetched when it changed, at most twice a second, while someone looks at it. */

import { computed, effect, signal } from "@preact/signals";

import type { Status } from "../link/types";
import type { SkinStatus } from "../link/dose";
import { fits, soundShape, type SkinDoses, type SkinShape } from "./skinmap";
import * as s from "./state";

const EVERY_MS = 500;
/** After an answer that was no answer. */
const AGAIN_MS = 3000;

export const skinShape = signal<SkinShape | null>(null);
export const skinDoses = signal<SkinDoses | null>(null);
/** Whether the map is shown on the body: as chosen, else as soon as there is dose. */
export const skinChoice = signal<boolean | null>(null);
/** How the room view looks at the body; null for the whole room. Angles as the columns of the map: 0 the back, 90 the left. */
export interface SkinView {
  readonly around_deg: number;
  readonly tilt_deg: number;
  /** The cell looked at; null for the middle of the body at the peak's height. */
  readonly cell: number | null;
}
export const skinView = signal<SkinView | null>(null);

export function skinOf(now: Status | null): SkinStatus | null {
  return now?.dose.skin ?? null;
}

/** The skin dose at a pace eyes can read. */
export const skinReadable = computed(() => skinOf(s.readable.value));
export const skinOn = computed(() => {
  const peak = skinOf(s.status.value)?.peak_mgy ?? 0;
  return peak > 0 && (skinChoice.value ?? true);
});

/** How the room view looks at the skin now; null while it shows the room, or the needle from near. */
export const skinTurned = computed(() => (skinOn.value && !s.near.value ? skinView.value : null));

/** The doses that belong to the shape; null until both are there. */
export const skinKnown = computed(() => {
  const shape = skinShape.value;
  const doses = skinDoses.value;
  return shape !== null && fits(shape, doses) ? { shape, doses } : null;
});

let lookers = 0;
let stop: (() => void) | null = null;
let have = "";
let notBeforeMs = -Infinity;
let asking = false;

/** Begin to follow the skin dose; returns how to end. */
export function followSkin(): () => void {
  lookers += 1;
  stop ??= effect(() => {
    const now = s.status.value;
    if (now !== null) check(now);
  });
  return () => {
    lookers -= 1;
    if (lookers > 0) return;
    stop?.();
    stop = null;
  };
}

function check(now: Status): void {
  const skin = skinOf(now);
  if (skin === null) {
    have = "";
    if (skinDoses.peek() !== null) skinDoses.value = null;
    if (skinView.peek() !== null) skinView.value = null;
    return;
  }
  const wanted = `${now.exam?.uid} ${skin.revision}`;
  if (asking || wanted === have || document.hidden || performance.now() < notBeforeMs) return;
  asking = true;
  void fetchDoses().then((known) => {
    asking = false;
    notBeforeMs = performance.now() + (known ? EVERY_MS : AGAIN_MS);
    if (known) have = wanted;
  });
}

async function fetchDoses(): Promise<boolean> {
  const doses = await asset<SkinDoses>("skin-dose.json");
  if (doses === null) return false;
  if (skinShape.peek()?.uid !== doses.uid) {
    const shape = await asset<SkinShape>("skin.json");
    if (shape === null || !soundShape(shape) || shape.uid !== doses.uid) return false;
    skinShape.value = shape;
  }
  skinDoses.value = doses;
  return true;
}

async function asset<T>(name: string): Promise<T | null> {
  try {
    const answer = await fetch(`/room/${name}`);
    return answer.ok ? ((await answer.json()) as T) : null;
  } catch {
    return null;
  }
}
