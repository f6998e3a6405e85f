import { describe, expect, it } from "vitest";

import { Body3D } from "../src/room/body3d";
import type { SkinDoses, SkinShape } from "../src/room/skinmap";

/** A round body, 120 mm thick in its half, from 200 mm to the head to 200 mm to the feet. */
const ROWS = 8;
const COLUMNS = 36;
const points = Array.from({ length: ROWS + 1 }, (_, row) => Array.from({ length: COLUMNS + 1 }, (_, column) => {
  const turn = (2 * Math.PI * column) / COLUMNS;
  return [120 * Math.sin(turn), 120 * Math.cos(turn), 200 - 50 * row];
})).flat(2);
const SHAPE: SkinShape = { uid: "round", rows: ROWS, columns: COLUMNS, points_mm: points };
const at = (column: number, row = 1): SkinDoses => {
  const cell = row * COLUMNS + column;
  return { uid: "round", revision: column, peak_index: cell, dose_mgy: Array.from({ length: ROWS * COLUMNS }, (_, i) => (i === cell ? 2 : 0)) };
};
const BACK = 0;
const LEFT = COLUMNS / 4;
const FRONT = COLUMNS / 2;

/** The peak in the equipment frame (x left of a patient on the back head first, y down, z head end) and the way out. */
function peak(position: string, doses: SkinDoses): { at: readonly number[]; out: readonly number[] } {
  const body = new Body3D();
  body.lookThrough(false, { shape: SHAPE, doses, view: null });
  body.lie(position);
  body.group.updateWorldMatrix(true, true);
  const found = body.dosed.peak();
  if (found === null) throw new Error("no peak");
  return { at: found.at.toArray(), out: found.out.toArray() };
}

describe("the skin dose lies on the body as the patient lies", () => {
  // Of geometry/table.py: where the patient's left, back and head point to.
  const ROWS_OF: Readonly<Record<string, readonly [readonly number[], readonly number[], readonly number[]]>> = {
    HFS: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    HFP: [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
    HFDL: [[0, 1, 0], [-1, 0, 0], [0, 0, 1]],
    HFDR: [[0, -1, 0], [1, 0, 0], [0, 0, 1]],
    FFS: [[-1, 0, 0], [0, 1, 0], [0, 0, -1]],
    FFP: [[1, 0, 0], [0, -1, 0], [0, 0, -1]],
    FFDL: [[0, 1, 0], [1, 0, 0], [0, 0, -1]],
    FFDR: [[0, -1, 0], [-1, 0, 0], [0, 0, -1]],
  };
  for (const [position, [left, back, head]] of Object.entries(ROWS_OF)) {
    it(position, () => {
      const onLeft = peak(position, at(LEFT));
      const onBack = peak(position, at(BACK));
      for (const axis of [0, 1, 2]) {
        // A cell's middle is half a column, 5°, past its edge; its height is 125 mm to the head.
        expect(onLeft.out[axis] ?? NaN).toBeCloseTo((left[axis] ?? 0) * Math.cos(Math.PI / 36) - (back[axis] ?? 0) * Math.sin(Math.PI / 36), 4);
        expect(onBack.out[axis] ?? NaN).toBeCloseTo((back[axis] ?? 0) * Math.cos(Math.PI / 36) + (left[axis] ?? 0) * Math.sin(Math.PI / 36), 4);
        const way = (head[axis] ?? 0) * 125;
        if (head[axis] !== 0) expect(onLeft.at[axis] ?? NaN).toBeCloseTo(way, 3);
      }
    });
  }

  it("prone, the abdomen is below: its skin looks down", () => {
    const { at: place, out } = peak("HFP", at(FRONT));
    expect(out[1]).toBeGreaterThan(0.99);
    expect(place[1]).toBeGreaterThan(110);
  });
});

describe("looking at it", () => {
  it("goes to where the peak is seen from outside, the head up", () => {
    const body = new Body3D();
    const turn = (around: number): ReturnType<typeof body.dosed.eye> => {
      body.lookThrough(false, { shape: SHAPE, doses: at(FRONT), view: null });
      body.lie("HFP");
      return body.dosed.eye({ around_deg: around, tilt_deg: 0, cell: FRONT + COLUMNS });
    };
    const below = turn(180);
    expect(below.from.y - below.at.y).toBeCloseTo(900, 3);
    expect(below.up.toArray().map(Math.round)).toEqual([0, 0, 1]);
    const left = turn(90);
    expect(left.from.x - left.at.x).toBeCloseTo(-900, 3);
  });

  it("is not drawn from near, and gives the schematic body back", () => {
    const body = new Body3D();
    body.lookThrough(true, { shape: SHAPE, doses: at(FRONT), view: null });
    expect(body.dosed.group.visible).toBe(false);
    expect(body.dosed.peak()).toBeNull();
    body.lookThrough(false, null);
    expect(body.dosed.group.visible).toBe(false);
  });
});
