/** Words for guidance: a light is a word and a shape, a direction is the patient's. */

import type { Estimate, Guidance, Light, Tracking } from "../link/guidance";
import { fixed, UNKNOWN } from "./format";

export const LIGHT_WORDS: Readonly<Record<Light, string>> = { good: "ON COURSE", fair: "CORRECT", off: "OFF COURSE", unsure: "SECOND VIEW" };
/** A shape of its own for each light, so that nothing hangs on colour alone. */
export const LIGHT_SHAPES: Readonly<Record<Light, string>> = { good: "●", fair: "▲", off: "■", unsure: "◇" };
export const TRACKING_WORDS: Readonly<Record<Tracking, string>> = { searching: "searching", good: "good", fair: "fair", lost: "lost" };

/** "1.2" of an error, without its sign: the side says it. */
export const sizeText = (error: Estimate | null | undefined): string => (error ? fixed(Math.abs(error.value), 1) : UNKNOWN);

export const sigmaText = (error: Estimate | null | undefined): string => (error ? `± ${fixed(2 * error.sigma, 1)}` : "");

/** Which way the tip lies beside the plan, in the patient's terms; "" where it is within half a millimetre. */
export function sideText(error: Estimate | null | undefined, positive: string, negative: string): string {
  if (!error || Math.abs(error.value) < 0.5) return "";
  return error.value > 0 ? positive : negative;
}

/** The depth that is still to go, with its sign: beyond the target it is negative. */
export const depthText = (error: Estimate | null | undefined): string => (error ? fixed(error.value, 1) : UNKNOWN);

/** Whether anything of guidance is to be seen beside the picture. */
export const guides = (guidance: Guidance | null | undefined): boolean => guidance?.allowed === true && guidance.on;
