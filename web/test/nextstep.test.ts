import { describe, expect, it } from "vitest";

import type { Status } from "../src/link/types";
import { adaptive, ageText, clockText, fixed } from "../src/room/format";
import { nextStep } from "../src/room/nextstep";
import { bladeEdges, bladesAfter } from "../src/tools/collimation";

const READY = {
  type: "status", state: "READY", state_reason: "", operator: true, patient: { name: "x" }, runs: [], stored: [], carm: { patient_primary_deg: 180, joints: [{}] },
  patients: [{}], dose: { source: "simulated" },
} as unknown as Status;
const step = (change: Partial<Status>): string => nextStep({ connected: true, narrow: false, moved: false, status: { ...READY, ...change } }).text;
const run = { event_number: 1, time: "", frames: 3, recorded: true };
const image = { id: "a", label: "", time: "", event_number: 1 };

describe("the next step", () => {
  it("leads from the first X-ray to the second view", () => {
    expect(step({})).toBe("Hold SPACE for X-ray");
    expect(step({ state: "EXPOSING" })).toBe("Release to hold the image");
    expect(step({ state: "HOLD", runs: [run] })).toBe("Store image (K)");
    expect(step({ state: "HOLD", runs: [run], stored: [image] })).toBe("Turn to lateral (L)");
    expect(step({ state: "HOLD", runs: [run], stored: [image], carm: { ...READY.carm, patient_primary_deg: -90 } })).toBe("Turn to AP (A)");
  });

  it("waits while the room changes the patient, but never hides how to end an exposure", () => {
    const busy = { state_reason: "opening lumbar: one moment" };
    expect(step({ ...busy, state: "HOLD", runs: [run] })).toBe("One moment");
    expect(step({ ...busy, state: "EXPOSING" })).toBe("Release to hold the image");
  });

  it("says that a patient is being made", () => {
    expect(step({ making: { text: "bones", fraction: 0.3 } })).toBe("Making the patient");
    expect(step({ making: null })).toBe("Hold SPACE for X-ray");
  });

  it("asks for X-ray again when the C-arm was moved since", () => {
    expect(nextStep({ connected: true, narrow: false, moved: true, status: { ...READY, state: "HOLD", runs: [run] } }).kind).toBe("pedal");
  });

  it("leads from the marker seen to the needle", () => {
    const marker = { position_mm: [0, 0, 0] } as unknown as NonNullable<Status["marker"]>;
    const seen = { state: "HOLD", runs: [run], marker, needle: null, catheter: null } as Partial<Status>;
    expect(step(seen)).toBe("Needle at the marker");
    expect(step({ ...seen, state: "READY" })).toBe("Hold SPACE for X-ray");
    expect(nextStep({ connected: true, narrow: false, moved: true, status: { ...READY, ...seen } }).kind).toBe("pedal");
    expect(step({ ...seen, needle: {} as unknown as NonNullable<Status["needle"]> })).toBe("Store image (K)");
  });

  it("says what is in the way", () => {
    expect(nextStep({ connected: false, narrow: false, moved: false, status: READY }).kind).toBe("none");
    expect(nextStep({ connected: true, narrow: true, moved: false, status: READY }).kind).toBe("none");
    expect(step({ operator: false })).toBe("Watching");
    expect(step({ operator: false, operator_present: true })).toBe("Watching");
    expect(step({ operator: false, operator_present: false })).toBe("Take the controls");
    expect(step({ patient: null })).toBe("Choose a patient");
    expect(step({ state: "FAULT" })).toBe("Fault: see the message");
  });
});

describe("numbers", () => {
  it("unknown is a dash, never 0", () => {
    for (const text of [fixed(null, 1), adaptive(undefined), clockText(null), ageText(null), adaptive(NaN)]) expect(text).toBe("–");
    expect(adaptive(0)).toBe("0.00");
  });

  it("carry about three digits", () => {
    expect([adaptive(0.01731), adaptive(0.648), adaptive(3.14159), adaptive(42.06), adaptive(1234.5)]).toEqual(["0.0173", "0.648", "3.14", "42.1", "1235"]);
    expect([clockText(61.9), ageText(84), ageText(2400), ageText(200_000)]).toEqual(["1:01", "84 ms", "2.4 s", "3 min"]);
  });
});

describe("collimator blades", () => {
  const now = { left_mm: 150, right_mm: 150, upper_mm: 12, lower_mm: 40, field_mm: 300 };

  it("move in pairs, within the field and never shut", () => {
    expect(bladesAfter(now, "left_right", 1)).toEqual({ left_mm: 150, right_mm: 150 });
    expect(bladesAfter(now, "left_right", -1)).toEqual({ left_mm: 145, right_mm: 145 });
    expect(bladesAfter(now, "upper_lower", -1)).toEqual({ upper_mm: 10, lower_mm: 35 });
  });

  it("are drawn where they cut the picture, not at all when open", () => {
    expect(bladeEdges(now, 300, 300)).toEqual({ left: 0, right: 1, top: 0.46, bottom: 0.5 + 40 / 300 });
    expect(bladeEdges({ ...now, upper_mm: 150, lower_mm: 150 }, 300, 300)).toBeNull();
  });
});
