import { describe, expect, it } from "vitest";

import { BANDS, bandColors, bandOf, barGradient, colorAt, linearFromOklab, oklabAt, paintCells, scaleTop, ticks, tickText } from "../src/room/skinmapscale";

/** Relative luminance of sRGB (IEC 61966-2-1, WCAG 2.2). */
function luminance(color: readonly number[]): number {
  const [r, g, b] = color.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4)) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

describe("the colours of a dose", () => {
  it("can all be shown by a screen", () => {
    for (let i = 0; i <= 100; i += 1) {
      for (const part of linearFromOklab(...oklabAt(i / 100))) {
        expect(part).toBeGreaterThanOrEqual(-0.001);
        expect(part).toBeLessThanOrEqual(1.001);
      }
    }
  });

  it("turn Oklab into sRGB as its definition has it", () => {
    for (const [lab, rgb] of [[[1, 0, 0], [1, 1, 1]], [[0.627955, 0.224863, 0.125846], [1, 0, 0]], [[0.452014, -0.032457, -0.311528], [0, 0, 1]]] as const) {
      linearFromOklab(lab[0], lab[1], lab[2]).forEach((part, i) => expect(part).toBeCloseTo(rgb[i] ?? NaN, 3));
    }
  });

  it("are equally far from each other and rise in brightness, in grey too", () => {
    const steps = Array.from({ length: BANDS - 1 }, (_, i) => {
      const [a, b] = [oklabAt(i / (BANDS - 1)), oklabAt((i + 1) / (BANDS - 1))];
      return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
    });
    expect(Math.max(...steps) / Math.min(...steps)).toBeLessThan(1.01);
    const bright = bandColors().map(luminance);
    for (let i = 1; i < BANDS; i += 1) expect(bright[i]).toBeGreaterThan((bright[i - 1] ?? 1) * 1.15);
    expect(new Set(bandColors().map(String)).size).toBe(BANDS);
    expect(colorAt(1)).toEqual(bandColors().at(-1));
  });
});

describe("the scale of a map", () => {
  it("ends at the next of 1, 2, 5, 10 … so that a growing map keeps its colours", () => {
    expect([0, 0.3, 1, 1.01, 2, 2.5, 5, 7, 10, 10.1, 99, 100, 1999, 2001].map(scaleTop)).toEqual([1, 1, 1, 2, 2, 5, 5, 10, 10, 20, 100, 100, 2000, 5000]);
    expect(scaleTop(NaN)).toBe(1);
  });

  it("has ten equal bands; a dose on an edge belongs to the band above, none to none", () => {
    expect([0, -1, NaN].map((dose) => bandOf(dose, 5))).toEqual([-1, -1, -1]);
    expect([0.001, 0.49, 0.5, 1.5, 4.99, 5].map((dose) => bandOf(dose, 5))).toEqual([0, 0, 1, 3, 9, 9]);
    expect([0.1, 0.2, 0.3, 0.6, 0.7].map((dose) => bandOf(dose, 1))).toEqual([1, 2, 3, 6, 7]);
  });

  it("paints what was hit, and leaves the rest see-through", () => {
    const out = new Uint8Array(12);
    paintCells([0, 0.05, 1], 1, out);
    expect([...out.slice(0, 4)]).toEqual([0, 0, 0, 0]);
    expect([...out.slice(4, 8)]).toEqual([...(bandColors()[0] ?? []), 255]);
    expect([...out.slice(8)]).toEqual([...(bandColors()[9] ?? []), 255]);
  });

  it("names its edges without tails", () => {
    expect(ticks(0.5 * 4).map(tickText)).toEqual(["0", "0.4", "0.8", "1.2", "1.6", "2"]);
    expect(ticks(1).map(tickText)).toEqual(["0", "0.2", "0.4", "0.6", "0.8", "1"]);
    expect(ticks(5000).map(tickText)).toEqual(["0", "1000", "2000", "3000", "4000", "5000"]);
    expect(barGradient("to right").match(/rgb/g)?.length).toBe(BANDS);
  });
});
