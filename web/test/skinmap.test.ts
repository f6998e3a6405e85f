import { describe, expect, it } from "vitest";

import type { SkinStatus } from "../src/link/dose";
import {
  cellAt, cellCenter, cellNormal, cellsOfPixels, cellText, csvText, fits, meshIndices, meshUvs, middleFor, peakText, placeOf, sideNames, sideOf, soundShape, steppedCell, unroll,
  type SkinDoses, type SkinShape,
} from "../src/room/skinmap";

const ROWS = 6;
const COLUMNS = 40;

/** An elliptic cone: columns from the back past the patient's left, rows from the head down, wider at the feet. */
function cone(feetFirst = false): SkinShape {
  const points: number[] = [];
  for (let row = 0; row <= ROWS; row += 1) {
    for (let column = 0; column <= COLUMNS; column += 1) {
      const turn = (2 * Math.PI * column) / COLUMNS;
      const size = 1 + (feetFirst ? ROWS - row : row) / ROWS;
      // Feet first the columns go the other way around, so that the normals still point out.
      points.push((feetFirst ? -1 : 1) * 100 * size * Math.sin(turn), 60 * size * Math.cos(turn), (feetFirst ? 1 : -1) * 20 * row);
    }
  }
  return { uid: "cone", rows: ROWS, columns: COLUMNS, points_mm: points };
}

const SHAPE = cone();
const cell = (row: number, column: number): number => row * COLUMNS + column;
const doses = (change: Readonly<Record<number, number>>, peak: number): SkinDoses => ({
  uid: "cone", revision: 3, peak_index: peak, dose_mgy: Array.from({ length: ROWS * COLUMNS }, (_, i) => change[i] ?? 0),
});
const SKIN: SkinStatus = {
  revision: 3, peak_mgy: 2.314, uncertainty_percent: 42.4, share_on_patient: 0.97, where: "front", position_mm: null, phantom: "own skin", estimate: true,
};

describe("the cells of the skin", () => {
  it("are counted from the corners, and an answer that does not fit is not shown", () => {
    expect(soundShape(SHAPE)).toBe(true);
    expect(soundShape({ ...SHAPE, rows: 7 })).toBe(false);
    expect(fits(SHAPE, doses({}, 0))).toBe(true);
    expect(fits(SHAPE, { ...doses({}, 0), uid: "another patient" })).toBe(false);
    expect(fits(SHAPE, { ...doses({}, 0), dose_mgy: [1] })).toBe(false);
  });

  it("look out of the body on every side", () => {
    for (let i = 0; i < ROWS * COLUMNS; i += 1) {
      const [nx, ny] = cellNormal(SHAPE, i);
      const [x, y] = cellCenter(SHAPE, i);
      expect(nx * x + ny * y).toBeGreaterThan(0);
    }
    expect([0, 10, 20, 30].map((column) => sideOf(SHAPE, cell(2, column)))).toEqual(["back", "left", "front", "right"]);
    expect(sideOf(SHAPE, cell(2, 14))).toBe("left front");
  });

  it("are two triangles each, counter-clockwise from outside, every corner used", () => {
    const faces = meshIndices(ROWS, COLUMNS);
    expect(faces.length).toBe(6 * ROWS * COLUMNS);
    expect(new Set(faces).size).toBe((ROWS + 1) * (COLUMNS + 1));
    const at = (corner: number): number[] => [0, 1, 2].map((axis) => SHAPE.points_mm[3 * corner + axis] ?? NaN);
    for (let face = 0; face < faces.length; face += 3) {
      const [a, b, c] = [0, 1, 2].map((i) => at(faces[face + i] ?? -1)) as [number[], number[], number[]];
      const [ux, uy, uz] = b.map((value, axis) => value - (a[axis] ?? 0)) as [number, number, number];
      const [vx, vy, vz] = c.map((value, axis) => value - (a[axis] ?? 0)) as [number, number, number];
      const out = [uy * vz - uz * vy, uz * vx - ux * vz] as const;
      expect(out[0] * ((a[0] ?? 0) + (b[0] ?? 0) + (c[0] ?? 0)) + out[1] * ((a[1] ?? 0) + (b[1] ?? 0) + (c[1] ?? 0))).toBeGreaterThan(0);
    }
  });

  it("have their own pixel: the middle of a cell falls in the middle of it", () => {
    const uvs = meshUvs(ROWS, COLUMNS);
    const faces = meshIndices(ROWS, COLUMNS);
    const wanted = cell(4, 33);
    const corners = [...faces.slice(6 * wanted, 6 * wanted + 3)];
    const longest = [corners[1] ?? 0, corners[2] ?? 0]; // The diagonal.
    const middle = [0, 1].map((axis) => longest.reduce((sum, corner) => sum + (uvs[2 * corner + axis] ?? 0), 0) / 2);
    expect(Math.floor((middle[1] ?? 0) * ROWS) * COLUMNS + Math.floor((middle[0] ?? 0) * COLUMNS)).toBe(wanted);
  });
});

describe("the skin laid flat", () => {
  for (const middle of ["front", "back"] as const) {
    it(`gives every cell back where it is drawn, with the ${middle} in the middle`, () => {
      const flat = unroll(SHAPE, middle);
      for (let i = 0; i < ROWS * COLUMNS; i += 1) {
        const { x, y } = placeOf(flat, i);
        expect(cellAt(flat, x, y)).toBe(i);
      }
    });
  }

  it("is true in mm: height of the body down, way along the skin across", () => {
    const flat = unroll(SHAPE, "front");
    expect(flat.height_mm).toBeCloseTo(20 * ROWS, 3);
    // Ramanujan's circumference of the lowest row's middle, an ellipse of 100:60, 1 + 5.5/6 large.
    const [a, b] = [100, 60].map((half) => half * (1 + 5.5 / 6)) as [number, number];
    const h = ((a - b) / (a + b)) ** 2;
    const around = Math.PI * (a + b) * (1 + (3 * h) / (10 + Math.sqrt(4 - 3 * h)));
    expect(flat.width_mm).toBeGreaterThan(0.99 * around);
    expect(flat.width_mm).toBeLessThan(1.001 * around);
    const lowest = ROWS * (COLUMNS + 1) - 1;
    expect((flat.across[COLUMNS] ?? 0) / (flat.across[lowest] ?? 1)).toBeCloseTo((1 + 0.5 / 6) / (1 + 5.5 / 6), 3);
  });

  it("names the sides in their order and rolls the cut away from the peak", () => {
    expect(sideNames(unroll(SHAPE, "front")).map(({ name }) => name)).toEqual(["back", "left", "front", "right", "back"]);
    expect(sideNames(unroll(SHAPE, "back")).map(({ name }) => name)).toEqual(["front", "right", "back", "left", "front"]);
    expect(middleFor(SHAPE, cell(3, 1))).toBe("back");
    expect(middleFor(SHAPE, cell(3, 39))).toBe("back");
    expect(middleFor(SHAPE, cell(3, 20))).toBe("front");
    expect(middleFor(SHAPE, null)).toBe("front");
    const flat = unroll(SHAPE, "back");
    expect(placeOf(flat, cell(3, 39)).x).toBeLessThan(placeOf(flat, cell(3, 0)).x);
    expect(Math.abs(placeOf(flat, cell(3, 0)).x - flat.width_mm / 2)).toBeLessThan(flat.width_mm / COLUMNS);
  });

  it("stands head up and names the right sides whatever way the cells are counted", () => {
    const flat = unroll(cone(true), "front");
    expect(placeOf(flat, cell(ROWS - 1, 5)).y).toBeLessThan(placeOf(flat, cell(0, 5)).y);
    expect(sideNames(flat).map(({ name }) => name)).toEqual(["back", "right", "front", "left", "back"]);
    const start = cell(2, 5);
    expect(steppedCell(flat, "ArrowUp", start, 0)).toBe(cell(3, 5));
  });

  it("is a sheet without sides where it does not close", () => {
    const points = [-100, 0, 100].flatMap((_, row) => [-200, 0, 200].flatMap((x) => [x, 0, -100 * row]));
    const flat = unroll({ uid: "plane", rows: 2, columns: 2, points_mm: points }, "back");
    expect(flat.closed).toBe(false);
    expect(sideNames(flat)).toEqual([]);
    expect([flat.width_mm, flat.height_mm]).toEqual([400, 200]);
    expect(cellAt(flat, 10, 10)).toBe(0);
    expect(cellAt(flat, 390, 190)).toBe(3);
    expect(cellAt(flat, 401, 10)).toBeNull();
    expect(cellAt(flat, 10, -1)).toBeNull();
  });

  it("fills its picture with cells in the share of their size", () => {
    const flat = unroll(SHAPE, "front");
    const pixels = cellsOfPixels(flat, 200, 60);
    const beside = pixels.filter((one) => one < 0).length / pixels.length;
    let skin = 0;
    for (let row = 0; row < ROWS; row += 1) skin += ((flat.across[row * (COLUMNS + 1) + COLUMNS] ?? 0) - (flat.across[row * (COLUMNS + 1)] ?? 0)) / ROWS;
    expect(beside).toBeCloseTo(1 - skin / flat.width_mm, 1);
    expect(new Set(pixels.filter((one) => one >= 0)).size).toBe(ROWS * COLUMNS);
  });

  it("is read with the arrow keys: around without end, up and down to the ends", () => {
    const flat = unroll(SHAPE, "front");
    expect(steppedCell(flat, "ArrowLeft", cell(2, 0), 7)).toBe(cell(2, COLUMNS - 1));
    expect(steppedCell(flat, "ArrowRight", cell(2, COLUMNS - 1), 7)).toBe(cell(2, 0));
    expect(steppedCell(flat, "ArrowUp", cell(0, 4), 7)).toBe(cell(0, 4));
    expect(steppedCell(flat, "ArrowDown", cell(0, 4), 7)).toBe(cell(1, 4));
    expect(steppedCell(flat, "Home", cell(0, 4), 7)).toBe(7);
    expect(steppedCell(flat, " ", cell(0, 4), 7)).toBeNull();
  });
});

describe("the skin dose in words", () => {
  it("tells a cell's dose, side and height; skin outside the beam is not 0 mGy", () => {
    const known = doses({ [cell(0, 14)]: 1.234 }, cell(0, 14));
    expect(cellText(SHAPE, known, cell(0, 14))).toBe("1.23 mGy · left front · 10 mm to the feet");
    expect(cellText(SHAPE, known, cell(5, 0))).toBe("not in the beam · back · 110 mm to the feet");
  });

  it("never tells the peak without its ±", () => {
    expect(peakText(SKIN)).toBe("2.31 mGy ± 42 %");
  });

  it("writes the cells that were hit, and what the table is", () => {
    const text = csvText(SHAPE, doses({ [cell(0, 20)]: 2.314, [cell(1, 20)]: 0.5 }, cell(0, 20)), SKIN, ["exam 1.2.3", "Simulated, not for clinical use"]);
    const lines = text.trimEnd().split("\n");
    const table = lines.filter((line) => !line.startsWith("#"));
    expect(table[0]).toBe("row,column,x_mm,y_mm,z_mm,side,dose_mgy");
    expect(table.slice(1).map((line) => line.split(",").at(-1))).toEqual(["2.314", "0.5"]);
    expect(table[1]?.split(",").slice(0, 2)).toEqual(["0", "20"]);
    expect(text).toContain("# exam 1.2.3");
    expect(text).toContain("estimate");
  });
});
