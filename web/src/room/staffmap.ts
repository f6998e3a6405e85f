/** Scatter around the table, seen from above: bands of equal dose rate and where things stand. Pure. */

import type { RoomGeometry, Table, Vec3 } from "../link/types";
import { bandColors, type Rgb } from "./skinmapscale";

export interface StaffPosition {
  readonly name: string;
  readonly x_mm: number;
  readonly z_mm: number;
  readonly usv_per_h: number | null;
  readonly usv_so_far: number | null;
  readonly with_apron_usv_per_h: number | null;
  readonly uncertainty_percent?: number | null;
}

/** What a step changes for somebody. */
export interface StaffEffect {
  readonly where: string;
  readonly what: string;
  readonly now_usv_per_h: number | null;
  readonly with_usv_per_h: number | null;
}

/** `/room/staff.json`; equipment frame, rows of the map along z. */
export interface StaffDose {
  readonly positions: readonly StaffPosition[];
  readonly map: {
    readonly x_mm: readonly number[];
    readonly z_mm: readonly number[];
    readonly usv_per_h: readonly (readonly (number | null)[])[];
    /** Above the floor. */
    readonly height_cm?: number;
    readonly height?: string;
  };
  readonly effects?: readonly StaffEffect[];
  readonly advice: string;
  readonly tube_side: string;
  readonly source: string;
}

/** Edges of the bands, µSv/h: the same whatever the technique, so that a colour always means the same. */
export const LEVELS = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000] as const;
export const STAFF_COLORS: readonly Rgb[] = bandColors(LEVELS.length);
export const BELOW: Rgb = [40, 47, 55];

/** Band of a dose rate: −1 below the first level. */
export function staffBand(usvPerHour: number): number {
  let band = -1;
  for (const level of LEVELS) if (usvPerHour >= level) band += 1;
  return band;
}

export function soundStaff(staff: StaffDose): boolean {
  const { x_mm, z_mm, usv_per_h } = staff.map;
  return x_mm.length > 1 && z_mm.length > 1 && usv_per_h.length === z_mm.length && usv_per_h.every((row) => row.length === x_mm.length);
}

/** Dose rate at a place, between the points of the map along logarithms; null off the map or where it is not known. */
export function rateAt(staff: StaffDose, xMm: number, zMm: number): number | null {
  const { x_mm, z_mm, usv_per_h } = staff.map;
  const at = between(x_mm, xMm);
  const along = between(z_mm, zMm);
  if (at === null || along === null) return null;
  let sum = 0;
  for (const [row, weight] of [[along.index, 1 - along.part], [along.index + 1, along.part]] as const) {
    for (const [column, share] of [[at.index, 1 - at.part], [at.index + 1, at.part]] as const) {
      const value = usv_per_h[row]?.[column] ?? null;
      if (value === null) return null;
      sum += weight * share * Math.log(Math.max(value, 1e-6));
    }
  }
  return Math.exp(sum);
}

function between(edges: readonly number[], value: number): { index: number; part: number } | null {
  const last = edges.length - 1;
  if (!(value >= (edges[0] ?? NaN) && value <= (edges[last] ?? NaN))) return null;
  let index = 0;
  while (index < last - 1 && value >= (edges[index + 1] ?? Infinity)) index += 1;
  const [a, b] = [edges[index] ?? 0, edges[index + 1] ?? 1];
  return { index, part: (value - a) / (b - a) };
}

/** The floor on a canvas: x to the right, the head end (z) up, one scale. */
export interface Plan {
  readonly width: number;
  readonly height: number;
  readonly pxPerMm: number;
  readonly left_mm: number;
  readonly top_mm: number;
}

export function planOf(staff: StaffDose, width: number, mostHeight: number): Plan {
  const { x_mm, z_mm } = staff.map;
  const wide = (x_mm.at(-1) ?? 0) - (x_mm[0] ?? 0);
  const deep = (z_mm.at(-1) ?? 0) - (z_mm[0] ?? 0);
  const pxPerMm = Math.min(width / wide, mostHeight / deep);
  // What the width leaves over stays empty on both sides.
  const beside = (width / pxPerMm - wide) / 2;
  return { width, height: deep * pxPerMm, pxPerMm, left_mm: (x_mm[0] ?? 0) - beside, top_mm: z_mm.at(-1) ?? 0 };
}

export interface Spot {
  readonly x: number;
  readonly y: number;
}

export const onPlan = (plan: Plan, xMm: number, zMm: number): Spot => ({ x: (xMm - plan.left_mm) * plan.pxPerMm, y: (plan.top_mm - zMm) * plan.pxPerMm });
export const fromPlan = (plan: Plan, x: number, y: number): { x_mm: number; z_mm: number } => ({ x_mm: x / plan.pxPerMm + plan.left_mm, z_mm: plan.top_mm - y / plan.pxPerMm });

/** Where a band's edge is met first on the way in from the rim along a direction (radians from +x to +z): there its number stands. */
export function levelSpot(staff: StaffDose, level: number, direction: number, from: { x_mm: number; z_mm: number }): { x_mm: number; z_mm: number } | null {
  const step = 20;
  let outside: { x_mm: number; z_mm: number } | null = null;
  for (let far = 6000; far > 150; far -= step) {
    const place = { x_mm: from.x_mm + far * Math.cos(direction), z_mm: from.z_mm + far * Math.sin(direction) };
    const rate = rateAt(staff, place.x_mm, place.z_mm);
    if (rate === null) continue;
    if (rate >= level) return outside === null ? null : place;
    outside = place;
  }
  return null;
}

/** A number for people: µSv/h with two digits, no false ones. */
export function rateText(usv: number | null): string {
  if (usv === null || !Number.isFinite(usv)) return "–";
  if (usv === 0) return "0";
  if (usv < 0.01) return "< 0.01";
  return String(Number(usv.toPrecision(2)));
}

/** "−86 %" of a step; "" where nothing is known or changed. */
export function changeText(effect: StaffEffect): string {
  const { now_usv_per_h: now, with_usv_per_h: then } = effect;
  if (now === null || then === null || !(now > 0)) return "";
  const percent = Math.round(100 * (then / now - 1));
  return percent === 0 ? "no change" : `${percent < 0 ? "−" : "+"}${Math.abs(percent)} %`;
}

/** Corners of a rectangle on the table, (x, z) of the room: turned with the table's yaw, then shifted. */
export function onTable(table: Table, corners: readonly (readonly [number, number])[]): readonly (readonly [number, number])[] {
  const yaw = ((table.yaw_deg ?? 0) * Math.PI) / 180;
  return corners.map(([x, z]) => [
    (table.lateral_mm ?? 0) + x * Math.cos(yaw) + z * Math.sin(yaw),
    (table.longitudinal_mm ?? 0) - x * Math.sin(yaw) + z * Math.cos(yaw),
  ]);
}

/** Corners of the detector, (x, z). */
export function detectorOutline(room: RoomGeometry, halfMm: number): readonly (readonly [number, number])[] {
  const at = (axis: 0 | 2, a: number, b: number): number => room.detector_center_mm[axis] + halfMm * (a * room.u[axis] + b * room.v[axis]);
  return ([[-1, -1], [1, -1], [1, 1], [-1, 1]] as const).map(([a, b]) => [at(0, a, b), at(2, a, b)] as const);
}

/** Whether the beam stands so upright that tube and detector lie over each other on the plan. */
export function upright(room: RoomGeometry): boolean {
  const flat = Math.hypot(room.source_mm[0] - room.detector_center_mm[0], room.source_mm[2] - room.detector_center_mm[2]);
  return flat < 0.5 * distance(room.source_mm, room.detector_center_mm);
}

/** The patient's left and right where he lies, as (x) signs of the room: +1 is the table's left. Null on the side. */
export function leftOf(position: string): 1 | -1 | null {
  if (position === "HFS" || position === "FFP") return 1;
  return position === "HFP" || position === "FFS" ? -1 : null;
}

const distance = (a: Vec3, b: Vec3): number => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

/** What the map depends on: it is fetched again when this changes. */
export function staffKey(now: {
  readonly room: RoomGeometry | null;
  readonly table: Table | null;
  readonly technique: unknown;
  readonly collimation: unknown;
  readonly dose: { readonly kap_gy_cm2: number | null; readonly staff?: { readonly revision: number } | null };
  readonly exam: { readonly uid: string } | null;
}): string {
  return JSON.stringify([now.room, now.table, now.technique, now.collimation, now.dose.kap_gy_cm2, now.dose.staff?.revision, now.exam?.uid]);
}
