/** The part `guidance` of the status, as docs/reference/page-protocol.md tells it. Unknown is null. */

import type { Vec3 } from "./types";

/** A place of a picture in fractions of it, from its top left. */
export interface Spot {
  readonly row: number;
  readonly col: number;
}

export interface Estimate {
  readonly value: number;
  /** One standard deviation. */
  readonly sigma: number;
}

export interface PlanRow {
  readonly index: number;
  readonly name: string;
  readonly needle: string;
  readonly needle_label: string;
  readonly depth_mm: number;
  readonly score: number;
  readonly clearances: readonly { readonly structure: string; readonly mm: number }[];
  readonly coaxial_text: string;
  readonly notes: readonly string[];
}

export interface PlanSlice {
  readonly name: string;
  readonly label: string;
  readonly url: string;
  readonly width_mm: number;
  readonly height_mm: number;
  readonly markers: { readonly left: string; readonly right: string; readonly top: string; readonly bottom: string };
  readonly entry: Spot;
  readonly target: Spot;
  readonly dura: Spot | null;
  /** Where the tip was found in three dimensions; null while it was not. */
  readonly tip: Spot | null;
}

export interface ChosenPlan {
  readonly index: number;
  /** Points in the equipment frame, as the table stands now. */
  readonly entry_mm: Vec3;
  readonly target_mm: Vec3;
  readonly dura_mm: Vec3 | null;
  readonly depth_mm: number;
  readonly dura_depth_mm: number | null;
  readonly coaxial_text: string;
  readonly confirm_text: string;
  readonly depth_check: string;
  readonly slices: readonly PlanSlice[];
}

export interface GuidanceOverlay {
  /** Whether it is laid on the bone found in the picture, or only on where planning says it lies. */
  readonly locked: boolean;
  readonly lock_text: string;
  /** 1 fresh, 0 gone. */
  readonly opacity: number;
  readonly view: "coaxial" | "confirm" | "other";
  readonly entry: Spot;
  readonly target: Spot;
  readonly dura: Spot | null;
  /** Both edges of the safe corridor, from entry to target. */
  readonly corridor: readonly [readonly Spot[], readonly Spot[]] | null;
  /** Radii about the target, fractions of the picture's width, and what they are, mm. */
  readonly rings: readonly { readonly radius: number; readonly mm: number }[];
  readonly levels: readonly { readonly name: string; readonly row: number; readonly col: number }[];
  readonly outlines: readonly (readonly Spot[])[];
  readonly needle: NeedleSeen | null;
}

export interface NeedleSeen {
  readonly tip: Spot;
  readonly path: readonly Spot[];
  /** Half axes of the ellipse that holds 95 %, fractions of the picture's width: along the needle and across it. */
  readonly along: number;
  readonly across: number;
  /** From the column direction toward the row direction. */
  readonly angle_deg: number;
  readonly confidence: number;
}

/** "unsure": what is known of the needle cannot tell good from off. */
export type Light = "good" | "fair" | "off" | "unsure";
export type Tracking = "searching" | "good" | "fair" | "lost";
export type HintAct = "plan" | "coaxial" | "confirm" | "place" | "xray" | "stylet" | "guide";

export interface Guidance {
  readonly allowed: boolean;
  readonly on: boolean;
  readonly planning: { readonly text: string; readonly fraction: number | null } | null;
  readonly trouble: string;
  readonly request: { readonly procedure: string; readonly label: string; readonly level: string; readonly side: string | null } | null;
  readonly plans: readonly PlanRow[];
  readonly chosen: ChosenPlan | null;
  readonly overlay: { readonly live: GuidanceOverlay | null; readonly reference: GuidanceOverlay | null };
  readonly tracking: Tracking | null;
  readonly tracking_text: string;
  /** Positive: to the patient's left, toward the head, still to go. */
  readonly error: {
    readonly lateral_mm: Estimate | null;
    readonly vertical_mm: Estimate | null;
    readonly depth_mm: Estimate | null;
    readonly angle_deg: Estimate | null;
    /** How the depth is known: "two views", "this view", "read at the hub". */
    readonly depth_from: string;
    readonly depth_to: string;
  } | null;
  readonly light: Light | null;
  readonly hint: { readonly text: string; readonly act: HintAct | null } | null;
  readonly warnings: readonly { readonly kind: string; readonly text: string }[];
  readonly age_ms: number | null;
  /** What was reached, once it is. */
  readonly reached: string | null;
}

/** `/room/guidance.json`: what can be planned for the patient on the table. */
export interface PlanChoices {
  readonly procedures: readonly { readonly name: string; readonly label: string; readonly sided: boolean; readonly levels: readonly string[] }[];
}
