/**
 * Display turns and flips: the picture is mirrored left-right first (when flipped), then turned clockwise.
 * Display only: nothing of the acquisition changes, and the letters at the edges follow.
 */

import type { Markers } from "../link/types";

export interface Orientation {
  /** Quarter turns clockwise, 0 to 3. */
  readonly turns: number;
  readonly flip: boolean;
}

export interface Point {
  /** Fractions of the picture: (0, 0) the outer corner of the top-left pixel, (1, 1) that of the bottom-right. */
  readonly x: number;
  readonly y: number;
}

export const UPRIGHT: Orientation = { turns: 0, flip: false };

/** Turn what is seen by 90° clockwise. */
export function turned(o: Orientation): Orientation {
  return { turns: (o.turns + 1) % 4, flip: o.flip };
}

/** Mirror what is seen left to right: a mirror after k turns is −k turns after a mirror. */
export function flipped(o: Orientation): Orientation {
  return { turns: (4 - o.turns) % 4, flip: !o.flip };
}

/** Where a point of the picture is seen. */
export function seenFromPicture(p: Point, o: Orientation): Point {
  let x = o.flip ? 1 - p.x : p.x;
  let y = p.y;
  for (let k = 0; k < o.turns; k += 1) [x, y] = [1 - y, x];
  return { x, y };
}

/** Which point of the picture is seen at `p`. */
export function pictureFromSeen(p: Point, o: Orientation): Point {
  let { x, y } = p;
  for (let k = 0; k < o.turns; k += 1) [x, y] = [y, 1 - x];
  return { x: o.flip ? 1 - x : x, y };
}

export interface Edges {
  readonly left: string;
  readonly right: string;
  readonly top: string;
  readonly bottom: string;
}

/** The letters at the four edges of what is seen; "" where a side is unknown. */
export function seenEdges(markers: Markers | null, o: Orientation): Edges {
  if (markers === null) return { left: "", right: "", top: "", bottom: "" };
  let left = markers.column_left ?? "";
  let right = markers.column_right ?? "";
  let top = markers.top ?? "";
  let bottom = markers.bottom ?? "";
  if (o.flip) [left, right] = [right, left];
  for (let k = 0; k < o.turns; k += 1) [top, right, bottom, left] = [left, top, right, bottom];
  return { left, right, top, bottom };
}

/** The CSS transform of an element that shows the picture; none when upright, which is cheaper to compose. */
export function cssTransform(o: Orientation): string {
  if (o.turns === 0 && !o.flip) return "none";
  return `rotate(${o.turns * 90}deg) scaleX(${o.flip ? -1 : 1})`;
}

/** In words, for the screen reader and the corner of the picture. */
export function orientationText(o: Orientation): string {
  const parts: string[] = [];
  if (o.turns !== 0) parts.push(`turned ${o.turns * 90}°`);
  if (o.flip) parts.push("flipped");
  return parts.join(", ");
}

/** How much of the square glass a picture takes: as seen, and as it is laid before it is turned. Pixels stay square. */
export function plateSize(rows: number, columns: number, turn: Orientation): { readonly seen: Point; readonly laid: Point } {
  const longest = Math.max(rows, columns, 1);
  const laid = { x: columns / longest, y: rows / longest };
  return { laid, seen: turn.turns % 2 === 0 ? laid : { x: laid.y, y: laid.x } };
}
