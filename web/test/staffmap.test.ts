import { describe, expect, it } from "vitest";

import type { RoomGeometry, Table } from "../src/link/types";
import {
  changeText, detectorOutline, fromPlan, leftOf, LEVELS, levelSpot, onPlan, onTable, planOf, rateAt, rateText, soundStaff, STAFF_COLORS, staffBand, staffKey, upright, type StaffDose,
} from "../src/room/staffmap";

const X = Array.from({ length: 41 }, (_, i) => -2000 + 100 * i);
const Z = Array.from({ length: 61 }, (_, i) => -3000 + 100 * i);
/** 100 µSv/h at 1 m, with the square of the distance. */
const law = (x: number, z: number): number => 100 / Math.max((x * x + z * z) / 1e6, 0.05);
const STAFF: StaffDose = {
  positions: [], map: { x_mm: X, z_mm: Z, usv_per_h: Z.map((z) => X.map((x) => law(x, z))) }, advice: "", tube_side: "", source: "",
};
const TABLE: Table = { lateral_mm: 0, longitudinal_mm: 0, height_mm: 0, tilt_deg: 0, cradle_deg: 0, yaw_deg: 0, limits: {} };
const AP: RoomGeometry = {
  source_mm: [0, 510, 0], detector_center_mm: [0, -510, 0], u: [1, 0, 0], v: [0, 0, -1], isocenter_mm: [0, 0, 0], patient_position: "HFP",
};

describe("the bands of scatter", () => {
  it("always mean the same, in half decades, each with its colour", () => {
    expect([0, 0.99, 1, 2.9, 3, 99, 100, 12_000].map(staffBand)).toEqual([-1, -1, 0, 0, 1, 3, 4, 8]);
    expect(STAFF_COLORS.length).toBe(LEVELS.length);
    for (let i = 2; i < LEVELS.length; i += 1) expect((LEVELS[i] ?? 0) / (LEVELS[i - 2] ?? 1)).toBe(10);
  });

  it("lie between the points of the map along logarithms", () => {
    expect(rateAt(STAFF, 1000, 0)).toBeCloseTo(100, 6);
    expect(rateAt(STAFF, 1050, 0)).toBeCloseTo(Math.sqrt(law(1000, 0) * law(1100, 0)), 6);
    expect(rateAt(STAFF, 1040, 1330) ?? NaN).toBeCloseTo(law(1040, 1330), 0);
    expect(rateAt(STAFF, 2000, -3000)).toBeCloseTo(law(2000, 3000), 6);
    expect(rateAt(STAFF, 2001, 0)).toBeNull();
    const holed = { ...STAFF, map: { ...STAFF.map, usv_per_h: Z.map(() => X.map(() => null)) } };
    expect(rateAt(holed, 0, 0)).toBeNull();
  });

  it("carry their number on their edge", () => {
    for (const direction of [0, 0.8, 2.4, -1.9]) {
      const spot = levelSpot(STAFF, 100, direction, { x_mm: 0, z_mm: 0 });
      expect(Math.hypot(spot?.x_mm ?? 0, spot?.z_mm ?? 0)).toBeGreaterThan(970);
      expect(Math.hypot(spot?.x_mm ?? 0, spot?.z_mm ?? 0)).toBeLessThan(1010);
    }
    expect(levelSpot(STAFF, 1e6, 0, { x_mm: 0, z_mm: 0 })).toBeNull();
    // The whole way out is above it: no edge is seen there.
    expect(levelSpot(STAFF, 3, 0, { x_mm: 0, z_mm: 0 })).toBeNull();
  });

  it("refuse a map whose rows do not fit", () => {
    expect(soundStaff(STAFF)).toBe(true);
    expect(soundStaff({ ...STAFF, map: { ...STAFF.map, z_mm: [0, 1] } })).toBe(false);
    expect(soundStaff({ ...STAFF, map: { ...STAFF.map, x_mm: X.slice(1) } })).toBe(false);
  });
});

describe("the plan from above", () => {
  it("has the head end up, the table's left on the right, and one scale", () => {
    const plan = planOf(STAFF, 300, 1000);
    expect(plan.height).toBeCloseTo(450, 6);
    const middle = onPlan(plan, 0, 0);
    expect(onPlan(plan, 0, 1000).y).toBeLessThan(middle.y);
    expect(onPlan(plan, 1000, 0).x - middle.x).toBeCloseTo(middle.y - onPlan(plan, 0, 1000).y, 6);
    const flat = planOf(STAFF, 300, 300);
    expect(flat.height).toBeCloseTo(300, 6);
    expect(onPlan(flat, 0, 0)).toEqual({ x: 150, y: 150 });
    const back = fromPlan(flat, 20, 40);
    expect(onPlan(flat, back.x_mm, back.z_mm).x).toBeCloseTo(20, 6);
    expect(onPlan(flat, back.x_mm, back.z_mm).y).toBeCloseTo(40, 6);
  });

  it("moves and turns with the table: positive yaw swings the head end to the table's left", () => {
    const moved = onTable({ ...TABLE, lateral_mm: 30, longitudinal_mm: -100, yaw_deg: 90 }, [[0, 1000], [250, 0]]);
    expect(moved[0]?.[0]).toBeCloseTo(1030, 6);
    expect(moved[0]?.[1]).toBeCloseTo(-100, 6);
    expect(moved[1]?.[0]).toBeCloseTo(30, 6);
    expect(moved[1]?.[1]).toBeCloseTo(-350, 6);
  });

  it("knows tube over detector from tube beside detector", () => {
    expect(upright(AP)).toBe(true);
    expect(detectorOutline(AP, 200)).toEqual([[-200, 200], [200, 200], [200, -200], [-200, -200]]);
    const lateral = { ...AP, source_mm: [510, 0, 0], detector_center_mm: [-510, 0, 0], u: [0, 1, 0] } as const;
    expect(upright(lateral)).toBe(false);
    expect(detectorOutline(lateral, 200).every(([x]) => x === -510)).toBe(true);
  });

  it("says where the patient's left is: prone it is the table's right", () => {
    expect(["HFS", "HFP", "FFS", "FFP", "HFDL"].map(leftOf)).toEqual([1, -1, -1, 1, null]);
  });
});

it("numbers are told with two digits; what is not known is not 0", () => {
  expect([null, 0, 0.004, 0.0312, 4.449, 137.2, 12_345].map(rateText)).toEqual(["–", "0", "< 0.01", "0.031", "4.4", "140", "12000"]);
});

it("a step is told by what it changes", () => {
  const step = (now: number | null, then: number | null): string => changeText({ where: "", what: "", now_usv_per_h: now, with_usv_per_h: then });
  expect([step(400, 56), step(100, 130), step(100, 100.2), step(null, 3), step(0, 0)]).toEqual(["−86 %", "+30 %", "no change", "", ""]);
});

it("the map is fetched again when C-arm, table, technique or dose changed, and only then", () => {
  const now = { room: AP, table: TABLE, technique: { tube_voltage_kv: 70 }, collimation: null, dose: { kap_gy_cm2: 0, staff: { revision: 1 } }, exam: { uid: "1" } };
  expect(staffKey({ ...now })).toBe(staffKey(now));
  for (const change of [{ room: { ...AP, source_mm: [1, 510, 0] as const } }, { table: { ...TABLE, height_mm: 5 } }, { technique: { tube_voltage_kv: 80 } }, { dose: { kap_gy_cm2: 1 } }, { exam: { uid: "2" } }]) {
    expect(staffKey({ ...now, ...change })).not.toBe(staffKey(now));
  }
});
