/** The one obvious next step, from what the room is doing. */

import type { Status } from "../link/types";
import type { Guidance } from "../link/guidance";
import { forbidden } from "./dosewords";

export type Step =
  | { readonly kind: "none"; readonly text: string }
  | { readonly kind: "pedal"; readonly text: string }
  | { readonly kind: "act"; readonly text: string; readonly act: "patients" | "claim" | "store" | "replay" | "lateral" | "ap" | "needle" | "screening" | "budget" | "plan" | "coaxial" | "confirm" | "place" | "stylet" | "guide" };

export interface Situation {
  readonly connected: boolean;
  readonly narrow: boolean;
  readonly status: Status | null;
  /** Whether the C-arm, or something at the patient, was moved since the picture on LIVE was made. */
  readonly moved: boolean;
}

export function nextStep({ connected, narrow, status, moved }: Situation): Step {
  if (status === null || !connected) return { kind: "none", text: "Waiting for the room" };
  if (!status.operator) {
    if (status.operator_present !== false) return { kind: "none", text: "Watching" };
    return { kind: "act", text: "Take the controls", act: "claim" };
  }
  if (narrow) return { kind: "none", text: "Viewing only: widen the window" };
  if (status.state === "FAULT") return { kind: "none", text: "Fault: see the message" };
  if (status.making && status.state !== "EXPOSING") return { kind: "none", text: "Making the patient" };
  if (status.state_reason !== "" && status.state !== "EXPOSING") return { kind: "none", text: "One moment" };
  const guided = guidedStep(status.guidance);
  // While X-ray is on only what guidance asks for is more urgent than letting go.
  if (status.state === "EXPOSING") return guided?.kind === "act" && guided.act !== "plan" ? guided : { kind: "none", text: "Release to hold the image" };
  const barred = forbidden(status.dose.control);
  if (barred === "screening") return { kind: "act", text: status.dose.control?.screening?.answer === null ? "Ask about pregnancy" : "X-ray needs a reason", act: "screening" };
  if (barred === "budget") return { kind: "act", text: "Budget spent: decide", act: "budget" };
  const pedal: Step = { kind: "pedal", text: status.dose.source === "recorded" ? "Hold SPACE to play" : "Hold SPACE for X-ray" };
  if (status.patient === null && status.patients.length > 0) return { kind: "act", text: "Choose a patient", act: "patients" };
  if (guided !== null) return guided.kind === "pedal" || (moved && guided.kind === "none") ? { ...pedal, text: guided.kind === "pedal" ? guided.text : pedal.text } : guided;
  if (status.state !== "HOLD" || moved) return pedal;
  if (status.marker && !status.needle && !status.catheter) return { kind: "act", text: "Needle at the marker", act: "needle" };
  const lastRun = status.runs.at(-1)?.event_number;
  const storedOfRun = status.stored.filter((image) => image.event_number === lastRun).length;
  if (lastRun !== undefined && storedOfRun === 0) return { kind: "act", text: "Store image (K)", act: "store" };
  if (status.stored.length === 1 && status.carm.joints.length > 0) {
    const primary = status.carm.patient_primary_deg ?? 0;
    const lateral = Math.abs(Math.abs(primary) - 90) < 20;
    return lateral ? { kind: "act", text: "Turn to AP (A)", act: "ap" } : { kind: "act", text: "Turn to lateral (L)", act: "lateral" };
  }
  return pedal;
}

/** What guidance asks for, while it is on and has a word to say. */
export function guidedStep(guidance: Guidance | null | undefined): Step | null {
  if (guidance?.allowed !== true || !guidance.on || guidance.hint === null) return null;
  const { text, act } = guidance.hint;
  if (act === null) return { kind: "none", text };
  return act === "xray" ? { kind: "pedal", text } : { kind: "act", text, act };
}
