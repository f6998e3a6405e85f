import { describe, expect, it } from "vitest";

import type { Budget, DoseControl, DoseEstimates, History, Pace, PaceRow, Screening } from "../src/link/dose";
import type { Status } from "../src/link/types";
import { adviceText, amountText, budgetText, effectiveText, forbidden, historyLines, leadingRow, nextAlertText, outsideText, paceLevel, paceMarks, paceText, saidOnce, skinText } from "../src/room/dosewords";
import { belongsToFocus, type KeyPress } from "../src/room/keys";
import { nextStep } from "../src/room/nextstep";
import { wantedTone } from "../src/room/tone";

const kap: PaceRow = { quantity: "kap", words: "kerma-area product", unit: "Gy·cm²", value: 1.12, typical: 2.8, reference_level: 6, fraction_of_typical: 0.4 };
const time: PaceRow = { ...kap, quantity: "fluoroscopy_time", words: "fluoroscopy time", unit: "s", value: 61, typical: 40, reference_level: null, fraction_of_typical: 1.525 };
const budget: Budget = { quantity: "kap", words: "kerma-area product", unit: "Gy·cm²", value: 4.6, limit: 5, fraction: 0.92, stopped: false, overruled: null };
const screening: Screening = { needed: true, question: "?", answer: null, by: null, blocks: true, override: null, why: "" };
const control: DoseControl = { screening: null, pace: null, advice: null, budget: null, limits: null, calibration: null };

describe("this case beside typical ones", () => {
  it("is led by what has come farthest", () => {
    const pace = { rows: [kap, time] } as unknown as Pace;
    expect(leadingRow(pace)).toBe(time);
    expect(leadingRow({ ...pace, rows: [{ ...kap, typical: null, fraction_of_typical: null }] })).toBeNull();
    expect(leadingRow(null)).toBeNull();
  });

  it("says in words what the bar shows", () => {
    expect([paceText(kap), paceText(time), paceText({ ...kap, value: 6.1, fraction_of_typical: 2.2 })]).toEqual([
      "KAP 40 % of typical", "Fluoroscopy time 1.5 × typical", "KAP above the reference level",
    ]);
    expect(paceText({ ...kap, value: 0.01, fraction_of_typical: 0.004 })).toBe("KAP <1 % of typical");
    expect([kap, time, { ...kap, value: 7 }].map(paceLevel)).toEqual(["within", "above typical", "above reference"]);
    expect(paceText({ ...kap, value: null, fraction_of_typical: null })).toBe("KAP –");
  });

  it("shows value, typical and reference on one bar, whichever is the largest", () => {
    for (const row of [kap, { ...kap, value: 30 }, { ...kap, reference_level: null }]) {
      const { value, typical, reference } = paceMarks(row);
      for (const mark of [value, typical ?? 0, reference ?? 0]) expect(mark).toBeLessThan(1);
      expect(value / (typical ?? NaN)).toBeCloseTo((row.value ?? NaN) / 2.8);
    }
    expect(paceMarks({ ...kap, value: null, typical: null, reference_level: null })).toEqual({ value: 0, typical: null, reference: null });
  });
});

describe("what comes", () => {
  it("names the next level and how far it is", () => {
    const next = { quantity: "air_kerma", words: "air kerma at the reference point", level: 3, unit: "Gy", kind: "first", source: "NCRP 168", value: 1.25, fraction: 0.4166 } as const;
    expect(nextAlertText(next)).toBe("Next alert: air kerma 3.00 Gy, 41 % there");
    expect(nextAlertText({ ...next, quantity: "kap", level: 300, unit: "Gy·cm²", fraction: 0.0001 })).toBe("Next alert: KAP 300 Gy·cm², <1 % there");
    // It is not there before it is there.
    expect(nextAlertText({ ...next, fraction: 0.9999 })).toContain("99 %");
    expect(nextAlertText(null)).toBe("No further alert level");
  });

  it("cuts advice to what to do and what it saves", () => {
    expect(adviceText({ text: "take 3.75 pulses a second: 50 % less air kerma; slower motion is seen less well", saving_percent: 50, command: null })).toEqual({ what: "Take 3.75 pulses a second", saves: "saves 50 %" });
    expect(adviceText({ text: "let the pedal go; the image is held", saving_percent: null, command: null })).toEqual({ what: "Let the pedal go", saves: "" });
  });

  it("says a clause once", () => {
    const both = saidOnce(["1 in 26 000; for comparing; 1 in 9 000; for comparing", "an estimate; for comparing"]);
    expect(both).toEqual(["1 in 26 000; for comparing; 1 in 9 000", "an estimate"]);
    expect(saidOnce(["", "alone"])).toEqual(["", "alone"]);
  });

  it("says how much of a budget is spent, and who overruled it", () => {
    expect(budgetText(budget)).toBe("Budget: 92 % of 5.00 Gy·cm²");
    expect(budgetText({ ...budget, fraction: 1.01, stopped: true })).toBe("Budget spent: 101 % of 5.00 Gy·cm²");
    expect(budgetText({ ...budget, overruled: { by: "Ann Lee", reason: "needle is in" } })).toContain("overruled by Ann Lee");
  });
});

describe("estimates and what was before", () => {
  it("carry their range, and unknown is a dash", () => {
    const estimates = { effective_msv: 0.31, effective_spread: [0.18, 0.43] } as unknown as DoseEstimates;
    expect(effectiveText(estimates)).toBe("0.310 mSv (0.180 to 0.430)");
    expect(effectiveText({ ...estimates, effective_spread: 0.4 })).toBe("0.310 mSv ± 40 %");
    expect(effectiveText({ ...estimates, effective_msv: null })).toBe("– mSv");
    expect(skinText(null)).toEqual({ value: "–", note: "" });
    expect(skinText({ revision: 1, peak_mgy: 14.23, uncertainty_percent: 45, share_on_patient: null, where: "", position_mm: null, phantom: "", estimate: true })).toEqual({ value: "14.2", note: "± 45 %, estimate" });
    expect([amountText(null, "mGy"), amountText(61, "s"), amountText(1.5, "min")]).toEqual(["–", "1:01 min:s", "1:30 min:s"]);
  });

  it("tells what is known of a patient, and that nothing is", () => {
    const cumulative = { air_kerma_mgy: 40.2, kap_gy_cm2: null, fluoroscopy_time_s: 190, effective_msv: null, peak_skin_mgy: null };
    const history: History = { known: true, patient_id: "1", exams: 1, since: "2024-05-02", cumulative, last: null, outside: [], unknown: [], lines: [] };
    expect(historyLines(history)).toEqual(["1 earlier exam since 2024-05-02: 40.2 mGy air kerma, –, 3:10 min:s"]);
    expect(historyLines({ ...history, known: false, exams: 0 })).toEqual(["No earlier exam of this patient is known here."]);
    expect(historyLines({ ...history, lines: ["as the registry says"] })).toEqual(["as the registry says"]);
    expect(outsideText({ kind: "CT", body_part: "abdomen", place: "", when: "2023" })).toBe("CT abdomen, 2023");
  });
});

describe("what forbids X-ray", () => {
  const ready = {
    type: "status", state: "READY", state_reason: "", operator: true, patient: { name: "x" }, runs: [], stored: [], carm: { joints: [{}] }, patients: [{}],
  } as unknown as Status;
  const step = (change: Partial<DoseControl>) => nextStep({ connected: true, narrow: false, moved: false, status: { ...ready, dose: { source: "simulated", control: { ...control, ...change } } as Status["dose"] } });

  it("is the one next step", () => {
    expect(step({})).toMatchObject({ kind: "pedal" });
    expect(step({ screening })).toMatchObject({ act: "screening", text: "Ask about pregnancy" });
    expect(step({ screening: { ...screening, answer: "yes" } })).toMatchObject({ act: "screening", text: "X-ray needs a reason" });
    expect(step({ screening: { ...screening, blocks: false } })).toMatchObject({ kind: "pedal" });
    expect(step({ budget: { ...budget, stopped: true } })).toMatchObject({ act: "budget" });
    expect([forbidden(null), forbidden({ ...control, screening, budget: { ...budget, stopped: true } })]).toEqual([null, "screening"]);
  });

  it("leaves letters to a list that has the focus, and SPACE to the pedal", () => {
    const press = (code: string, key: string): KeyPress => ({ code, key, shift: false, ctrl: false, alt: false, meta: false });
    const list = { tag: "SELECT", type: "", editable: false };
    expect(belongsToFocus(press("KeyL", "l"), list)).toBe(true);
    expect(belongsToFocus(press("Space", " "), list)).toBe(false);
    expect(belongsToFocus(press("Escape", "Escape"), list)).toBe(false);
    const text = { tag: "INPUT", type: "text", editable: false };
    expect(belongsToFocus(press("Space", " "), text)).toBe(true);
    expect(belongsToFocus(press("Escape", "Escape"), text)).toBe(false);
  });

  it("sounds only while X-ray is on under high-level control", () => {
    expect([[true, true], [true, false], [false, true]].map(([exposing, highLevel]) => wantedTone({ exposing: exposing === true, highLevel: highLevel === true }))).toEqual(["high level", null, null]);
  });
});
