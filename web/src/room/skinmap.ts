/** The skin map: cells, mesh, and the unrolled skin. Pure; the page's signals are in skinmapdata.ts. */

import { adaptive, fixed } from "./format";
import type { SkinStatus } from "../link/dose";
import type { Vec3 } from "../link/types";

/** `/room/skin.json`: corners of the cells, row by row from the head, about the point at the isocentre, LPS mm. */
export interface SkinShape {
  readonly uid: string;
  readonly rows: number;
  readonly columns: number;
  readonly points_mm: readonly number[];
}

/** `/room/skin-dose.json`: dose of each cell, row by row. */
export interface SkinDoses {
  readonly uid: string;
  readonly revision: number;
  readonly dose_mgy: readonly number[];
  readonly peak_index: number | null;
}

/** Whether numbers and lengths of an answer fit together. */
export function soundShape(shape: SkinShape): boolean {
  return shape.rows > 0 && shape.columns > 0 && shape.points_mm.length === 3 * (shape.rows + 1) * (shape.columns + 1);
}

export function fits(shape: SkinShape | null, doses: SkinDoses | null): doses is SkinDoses {
  return shape !== null && doses !== null && shape.uid === doses.uid && doses.dose_mgy.length === shape.rows * shape.columns;
}

/** Corner `index` counted row by row. */
export function corner(shape: SkinShape, index: number): Vec3 {
  return [shape.points_mm[3 * index] ?? 0, shape.points_mm[3 * index + 1] ?? 0, shape.points_mm[3 * index + 2] ?? 0];
}

/** Corners of a cell: at the head, the next one around, the same at the feet. */
export function cellCorners(shape: SkinShape, cell: number): readonly [Vec3, Vec3, Vec3, Vec3] {
  const a = Math.floor(cell / shape.columns) * (shape.columns + 1) + (cell % shape.columns);
  const below = a + shape.columns + 1;
  return [corner(shape, a), corner(shape, a + 1), corner(shape, below), corner(shape, below + 1)];
}

const mean = (points: readonly Vec3[]): Vec3 => [0, 1, 2].map((axis) => points.reduce((sum, p) => sum + (p[axis] ?? 0), 0) / points.length) as unknown as Vec3;

export const cellCenter = (shape: SkinShape, cell: number): Vec3 => mean(cellCorners(shape, cell));

/** Unit vector out of the body: around × down, as the cells are ordered. */
export function cellNormal(shape: SkinShape, cell: number): Vec3 {
  const [a, b, c, d] = cellCorners(shape, cell);
  const around: Vec3 = [b[0] + d[0] - a[0] - c[0], b[1] + d[1] - a[1] - c[1], b[2] + d[2] - a[2] - c[2]];
  const down: Vec3 = [c[0] + d[0] - a[0] - b[0], c[1] + d[1] - a[1] - b[1], c[2] + d[2] - a[2] - b[2]];
  const out: Vec3 = [
    around[1] * down[2] - around[2] * down[1],
    around[2] * down[0] - around[0] * down[2],
    around[0] * down[1] - around[1] * down[0],
  ];
  const length = Math.hypot(...out);
  return length > 0 ? [out[0] / length, out[1] / length, out[2] / length] : [0, 1, 0];
}

/** Two triangles for each cell, seen counter-clockwise from outside. */
export function meshIndices(rows: number, columns: number): Uint32Array {
  const faces = new Uint32Array(6 * rows * columns);
  let at = 0;
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const a = row * (columns + 1) + column;
      const below = a + columns + 1;
      faces.set([a, a + 1, below, a + 1, below + 1, below], at);
      at += 6;
    }
  }
  return faces;
}

/** Place of each corner on a picture with one pixel a cell. */
export function meshUvs(rows: number, columns: number): Float32Array {
  const places = new Float32Array(2 * (rows + 1) * (columns + 1));
  for (let row = 0; row <= rows; row += 1) {
    for (let column = 0; column <= columns; column += 1) {
      const at = 2 * (row * (columns + 1) + column);
      places[at] = column / columns;
      places[at + 1] = row / rows;
    }
  }
  return places;
}

const distance = (p: Vec3, q: Vec3): number => Math.hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]);
const halfway = (p: Vec3, q: Vec3): Vec3 => mean([p, q]);

const SAME_PLACE_MM = 1;

export type Middle = "front" | "back";

/** The skin cut open along the middle of the other side and laid flat: mm along the skin across, mm of height down. */
export interface Unrolled {
  readonly rows: number;
  readonly columns: number;
  /** Whether the skin goes all the way around; else it is a sheet. */
  readonly closed: boolean;
  /** Column drawn first; the others follow and start again. */
  readonly first: number;
  /** Whether the last row is nearest the head: rows are drawn head up whatever their order. */
  readonly feetFirst: boolean;
  /** (rows, columns + 1) edges of the cells from the left, about the middle; rows as drawn. */
  readonly across: Float32Array;
  /** (rows + 1) heights of the rows' edges from the top. */
  readonly down: Float32Array;
  readonly left_mm: number;
  readonly width_mm: number;
  readonly height_mm: number;
  /** The sides of the patient at the four quarters and at the right end, as drawn; empty for a sheet. */
  readonly sides: readonly string[];
}

export function unroll(shape: SkinShape, middle: Middle): Unrolled {
  const { rows, columns } = shape;
  const wide = columns + 1;
  let gap = 0;
  for (let row = 0; row <= rows; row += 1) gap = Math.max(gap, distance(corner(shape, row * wide), corner(shape, row * wide + columns)));
  const closed = gap < SAME_PLACE_MM;
  const turns = closed ? edgeTurns(shape) : [];
  const first = closed ? nearestTurn(turns, middle === "front" ? 0 : Math.PI) : 0;
  const feetFirst = corner(shape, 0)[2] < corner(shape, rows * wide)[2];
  const across = new Float32Array(rows * wide);
  const down = new Float32Array(rows + 1);
  let left = 0;
  let right = 0;
  for (let row = 0; row < rows; row += 1) {
    const widths: number[] = [];
    let height = 0;
    for (let step = 0; step < columns; step += 1) {
      const [a, b, c, d] = cellCorners(shape, (feetFirst ? rows - 1 - row : row) * columns + ((first + step) % columns));
      widths.push(distance(halfway(a, c), halfway(b, d)));
      height += Math.abs(halfway(a, b)[2] - halfway(c, d)[2]) / columns;
    }
    down[row + 1] = (down[row] ?? 0) + height;
    let at = -widths.slice(0, columns >> 1).reduce((sum, width) => sum + width, 0);
    for (let step = 0; step <= columns; step += 1) {
      across[row * wide + step] = at;
      at += widths[step] ?? 0;
    }
    left = Math.min(left, across[row * wide] ?? 0);
    right = Math.max(right, across[row * wide + columns] ?? 0);
  }
  const sides = closed ? [0, 1, 2, 3, 4].map((quarter) => sideWord(turns[(first + Math.round((quarter * columns) / 4)) % columns] ?? 0, QUARTERS)) : [];
  return { rows, columns, closed, first, feetFirst, across, down, left_mm: left, width_mm: right - left, height_mm: down[rows] ?? 0, sides };
}

/** Which way each edge between columns looks from the middle of the body: 0 back, π/2 the patient's left. */
function edgeTurns(shape: SkinShape): readonly number[] {
  const wide = shape.columns + 1;
  const sums = Array.from({ length: shape.columns }, () => [0, 0] as [number, number]);
  for (let row = 0; row <= shape.rows; row += 1) {
    const ring = Array.from({ length: shape.columns }, (_, column) => corner(shape, row * wide + column));
    const [x, y] = mean(ring);
    ring.forEach((at, column) => {
      const sum = sums[column];
      if (sum === undefined) return;
      sum[0] += at[0] - x;
      sum[1] += at[1] - y;
    });
  }
  return sums.map(([x, y]) => Math.atan2(x, y));
}

function nearestTurn(turns: readonly number[], wanted: number): number {
  const off = turns.map((turn) => Math.cos(turn - wanted));
  return off.indexOf(Math.max(...off));
}

/** Cell at a place of the flat skin, mm from its top left; null beside the skin. */
export function cellAt(flat: Unrolled, xMm: number, yMm: number): number | null {
  if (yMm < 0 || yMm >= flat.height_mm) return null;
  const row = lastNotAbove(flat.down, 0, flat.rows, yMm);
  const from = row * (flat.columns + 1);
  const x = xMm + flat.left_mm;
  if (x < (flat.across[from] ?? 0) || x >= (flat.across[from + flat.columns] ?? 0)) return null;
  const step = lastNotAbove(flat.across, from, flat.columns, x);
  return rowDrawn(flat, row) * flat.columns + ((flat.first + step) % flat.columns);
}

const rowDrawn = (flat: Unrolled, row: number): number => (flat.feetFirst ? flat.rows - 1 - row : row);

/** Index of the last edge, of `count` + 1 rising ones at `from`, that is not above `value`. */
function lastNotAbove(edges: Float32Array, from: number, count: number, value: number): number {
  let low = 0;
  let high = count - 1;
  while (low < high) {
    const half = (low + high + 1) >> 1;
    if ((edges[from + half] ?? 0) <= value) low = half;
    else high = half - 1;
  }
  return low;
}

/** Middle of a cell on the flat skin, mm from its top left. */
export function placeOf(flat: Unrolled, cell: number): { x: number; y: number } {
  const row = rowDrawn(flat, Math.floor(cell / flat.columns));
  const step = ((cell % flat.columns) - flat.first + flat.columns) % flat.columns;
  const at = row * (flat.columns + 1) + step;
  return {
    x: ((flat.across[at] ?? 0) + (flat.across[at + 1] ?? 0)) / 2 - flat.left_mm,
    y: ((flat.down[row] ?? 0) + (flat.down[row + 1] ?? 0)) / 2,
  };
}

/** Cell that a key leads to from `cell`, as the flat skin is drawn; around it goes on, up and down it ends. Null for another key. */
export function steppedCell(flat: Unrolled, key: string, cell: number, peak: number): number | null {
  const row = Math.floor(cell / flat.columns);
  const column = cell % flat.columns;
  const toFeet = flat.feetFirst ? -1 : 1;
  const around = (step: number): number => row * flat.columns + ((column + step + flat.columns) % flat.columns);
  const along = (step: number): number => Math.min(flat.rows - 1, Math.max(0, row + step)) * flat.columns + column;
  switch (key) {
    case "ArrowLeft": return around(-1);
    case "ArrowRight": return around(1);
    case "ArrowUp": return along(-toFeet);
    case "ArrowDown": return along(toFeet);
    case "Home": return peak;
    default: return null;
  }
}

/** Cell of every pixel of a picture of the flat skin; −1 beside the skin. */
export function cellsOfPixels(flat: Unrolled, width: number, height: number): Int32Array {
  const cells = new Int32Array(width * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      cells[y * width + x] = cellAt(flat, ((x + 0.5) / width) * flat.width_mm, ((y + 0.5) / height) * flat.height_mm) ?? -1;
    }
  }
  return cells;
}

/** Where the sides stand on the flat skin, mm from its left, in the order they are drawn. */
export function sideNames(flat: Unrolled): readonly { readonly name: string; readonly x: number }[] {
  return flat.sides.map((name, quarter) => {
    const step = Math.round((quarter * flat.columns) / 4);
    let sum = 0;
    for (let row = 0; row < flat.rows; row += 1) sum += flat.across[row * (flat.columns + 1) + step] ?? 0;
    // The ends stand at the widest row's edge.
    const x = quarter === 0 ? 0 : quarter === 4 ? flat.width_mm : sum / flat.rows - flat.left_mm;
    return { name, x };
  });
}

/** Which side is in the middle of the flat skin, so that the peak is not on the cut. */
export function middleFor(shape: SkinShape, peakIndex: number | null): Middle {
  return peakIndex !== null && cellNormal(shape, peakIndex)[1] > 0.6 ? "back" : "front";
}

const EIGHTHS = ["back", "left back", "left", "left front", "front", "right front", "right", "right back"] as const;
const QUARTERS = ["back", "left", "front", "right"] as const;

/** The word for a way out of the body: 0 back, π/2 the patient's left. */
function sideWord(turn: number, words: readonly string[]): string {
  const part = Math.round((turn / (2 * Math.PI)) * words.length);
  return words[((part % words.length) + words.length) % words.length] ?? "";
}

/** The side of a cell, in words of the patient. */
export function sideOf(shape: SkinShape, cell: number): string {
  const [x, y] = cellNormal(shape, cell);
  return sideWord(Math.atan2(x, y), EIGHTHS);
}

/** "1.23 mGy · left front · 34 mm to the head": heights from the point that lies at the isocentre at table zero. */
export function cellText(shape: SkinShape, doses: SkinDoses, cell: number): string {
  const dose = doses.dose_mgy[cell] ?? 0;
  const z = cellCenter(shape, cell)[2];
  const height = `${fixed(Math.abs(z), 0)} mm to the ${z < 0 ? "feet" : "head"}`;
  return `${dose > 0 ? `${adaptive(dose)} mGy` : "not in the beam"} · ${sideOf(shape, cell)} · ${height}`;
}

/** "2.31 mGy ± 42 %". */
export function peakText(skin: SkinStatus): string {
  return `${adaptive(skin.peak_mgy)} mGy ± ${fixed(skin.uncertainty_percent, 0)} %`;
}

/** The map as a table: one line a cell that was hit, with what it is in lines that begin with #. */
export function csvText(shape: SkinShape, doses: SkinDoses, skin: SkinStatus, about: readonly string[]): string {
  const lines = [
    ...about.map((line) => `# ${line}`),
    `# peak ${peakText(skin)}${skin.estimate ? ", estimate" : ""}; body: ${skin.phantom}`,
    "# places: patient coordinates (x to the left, y to the back, z to the head) from the point at the isocentre at table zero; cells that are not listed were not hit",
    "row,column,x_mm,y_mm,z_mm,side,dose_mgy",
  ];
  doses.dose_mgy.forEach((dose, cell) => {
    if (!(dose > 0)) return;
    const at = cellCenter(shape, cell).map((value) => value.toFixed(1));
    lines.push([Math.floor(cell / shape.columns), cell % shape.columns, ...at, sideOf(shape, cell), dose].join(","));
  });
  return `${lines.join("\n")}\n`;
}
