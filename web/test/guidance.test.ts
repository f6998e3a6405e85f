import { describe, expect, it } from "vitest";

import type { Guidance } from "../src/link/guidance";
import type { Status } from "../src/link/types";
import { depthText, guides, LIGHT_SHAPES, LIGHT_WORDS, sideText, sigmaText, sizeText } from "../src/room/guidancewords";
import { guidedStep, nextStep } from "../src/room/nextstep";

const OFF = { allowed: true, on: false, hint: null } as unknown as Guidance;
const on = (hint: Guidance["hint"]): Guidance => ({ ...OFF, on: true, hint });

describe("what guidance asks for", () => {
  it("is heard only while it is on and allowed", () => {
    const hint = { text: "Turn to lateral now (C)", act: "confirm" } as const;
    expect(guidedStep(on(hint))).toEqual({ kind: "act", text: "Turn to lateral now (C)", act: "confirm" });
    expect(guidedStep({ ...on(hint), on: false })).toBeNull();
    expect(guidedStep({ ...on(hint), allowed: false })).toBeNull();
    expect(guidedStep(on(null))).toBeNull();
    expect(guidedStep(null)).toBeNull();
    expect(guides(on(null))).toBe(true);
    expect(guides({ ...on(null), allowed: false })).toBe(false);
  });

  const status = {
    type: "status", state: "HOLD", state_reason: "", operator: true, patient: { name: "x" }, runs: [], stored: [], patients: [{}],
    carm: { patient_primary_deg: 180, joints: [{}] }, dose: { source: "simulated" },
  } as unknown as Status;
  const step = (guidance: Guidance, change: Partial<Status> = {}, moved = false) =>
    nextStep({ connected: true, narrow: false, moved, status: { ...status, ...change, guidance } });

  it("is the one next step, and more urgent than letting go", () => {
    const turn = on({ text: "Turn to lateral now (C)", act: "confirm" });
    expect(step(turn)).toEqual({ kind: "act", text: "Turn to lateral now (C)", act: "confirm" });
    expect(step(turn, { state: "EXPOSING" })).toMatchObject({ act: "confirm" });
    expect(step(on({ text: "Hold SPACE for X-ray", act: "xray" }))).toEqual({ kind: "pedal", text: "Hold SPACE for X-ray" });
    expect(step(on({ text: "Advance 12 mm, then lateral", act: null })).text).toBe("Advance 12 mm, then lateral");
    expect(step(on(null)).text).toBe("Hold SPACE for X-ray");
  });

  it("never goes before what forbids X-ray or a fault", () => {
    const turn = on({ text: "Turn to lateral now (C)", act: "confirm" });
    expect(step(turn, { state: "FAULT" }).text).toBe("Fault: see the message");
    expect(step(turn, { operator: false, operator_present: true }).text).toBe("Watching");
  });
});

describe("its words", () => {
  it("say a side only where there is one, in the patient's terms", () => {
    const error = (value: number) => ({ value, sigma: 0.4 });
    expect(sideText(error(2.1), "too far LEFT", "too far RIGHT")).toBe("too far LEFT");
    expect(sideText(error(-2.1), "too far LEFT", "too far RIGHT")).toBe("too far RIGHT");
    expect(sideText(error(0.3), "too far LEFT", "too far RIGHT")).toBe("");
    expect(sideText(null, "a", "b")).toBe("");
    expect(sizeText(error(-2.14))).toBe("2.1");
    expect(sizeText(null)).toBe("–");
    expect(sigmaText(error(1))).toBe("± 0.8");
    expect(depthText(error(-1.25))).toBe("−1.3");
  });

  it("never hang on colour alone", () => {
    for (const words of [LIGHT_WORDS, LIGHT_SHAPES]) expect(new Set(Object.values(words)).size).toBe(4);
  });
});
