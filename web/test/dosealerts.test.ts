import { describe, expect, it } from "vitest";

import type { DoseAlert } from "../src/link/types";
import { alertWords, levelText } from "../src/room/dosealerts";

const kerma: DoseAlert = {
  quantity: "air_kerma", words: "air kerma at the reference point", level: 0.025, unit: "Gy", kind: "next", at_event: 2, source: "room 3",
};
const time: DoseAlert = { ...kerma, quantity: "fluoroscopy_time", words: "fluoroscopy time", level: 0.75, unit: "min", kind: "first" };
const kap: DoseAlert = { ...kerma, quantity: "kap", words: "kerma-area product", level: 500, unit: "Gy·cm²", kind: "substantial" };

describe("dose alerts in the dose bar", () => {
  it("says nothing when none is open", () => {
    expect(alertWords(undefined)).toBeNull();
    expect(alertWords({ count: 0, up_to: null, open: [] })).toBeNull();
  });

  it("writes a level as the figure beside it, with its unit", () => {
    expect([kerma, { ...kerma, level: 3 }, kap, time].map(levelText)).toEqual(["25.0 mGy", "3.00 Gy", "500 Gy·cm²", "0:45 min:s"]);
    // Seconds come as parts of a minute, which must not lose one.
    expect(levelText({ ...time, level: 2 / 60 })).toBe("0:02 min:s");
  });

  it("puts the gravest first and counts the others", () => {
    expect(alertWords({ count: 1, up_to: "", open: [kerma] })?.headline).toBe("Air kerma 25.0 mGy reached");
    const words = alertWords({ count: 5, up_to: "", open: [kerma, time, kap] });
    expect(words?.headline).toBe("KAP 500 Gy·cm² reached: substantial, 4 more");
    expect(words?.substantial).toBe(true);
    expect(words?.whole).toContain("air kerma at the reference point: 25.0 mGy, next level (room 3)");
  });
});
