import { describe, expect, it } from "vitest";

import { draggedWindow, fillIdentity, fillTable, LEVELS, windowedGrey } from "../src/picture/window";

describe("windowedGrey", () => {
  it("follows DICOM PS3.3 C.11.2.1.2.1 (note 4: centre 2048, width 4096)", () => {
    const window = { center: 2048, width: 4096 };
    expect(windowedGrey(0, window, false)).toBe(0);
    expect(windowedGrey(4095, window, false)).toBe(255);
    for (const x of [1, 1000, 2047, 2048, 4000]) expect(windowedGrey(x, window, false)).toBe(Math.round((x / 4095) * 255));
  });

  it("is a step for a width of 1", () => {
    expect(windowedGrey(99, { center: 100, width: 1 }, false)).toBe(0);
    expect(windowedGrey(100, { center: 100, width: 1 }, false)).toBe(255);
  });

  it("rises, and inverts exactly", () => {
    const table = new Uint8Array(LEVELS);
    const inverted = new Uint8Array(LEVELS);
    fillTable(table, { center: 30000.5, width: 52000.25 }, false);
    fillTable(inverted, { center: 30000.5, width: 52000.25 }, true);
    expect(table.every((grey, x) => x === 0 || grey >= (table[x - 1] ?? 0))).toBe(true);
    expect(table.every((grey, x) => grey + (inverted[x] ?? 0) === 255)).toBe(true);
  });

  it("leaves 8-bit pictures as they are", () => {
    const table = new Uint8Array(LEVELS);
    fillIdentity(table, false);
    expect([table[0], table[128], table[255]]).toEqual([0, 128, 255]);
    fillIdentity(table, true);
    expect([table[0], table[255]]).toEqual([255, 0]);
  });
});

describe("draggedWindow", () => {
  it("widens to the right, brightens downward, and stays a window", () => {
    const start = { center: 1000, width: 2000 };
    expect(draggedWindow(start, 0.5, 0).width).toBeGreaterThan(2000);
    expect(draggedWindow(start, 0, 0.25).center).toBe(500);
    expect(draggedWindow(start, -50, 50)).toEqual({ center: 0, width: 2 });
    expect(draggedWindow(start, 0, 0)).toEqual(start);
  });
});
