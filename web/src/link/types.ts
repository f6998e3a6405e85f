/** The messages of docs/reference/page-protocol.md. A number the room does not know is null. */

import type { Dose, History } from "./dose";
import type { Guidance } from "./guidance";

export type { Dose, DoseAlert, DoseAlerts } from "./dose";

export type RoomState = "IDLE" | "READY" | "EXPOSING" | "HOLD" | "FAULT";

export interface Joint {
  readonly name: string;
  readonly label: string;
  readonly unit: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step: number;
}

export interface CArm {
  readonly model: string;
  readonly joints: readonly Joint[];
  readonly primary_deg: number | null;
  readonly secondary_deg: number | null;
  readonly roll_deg: number | null;
  readonly patient_primary_deg: number | null;
  readonly patient_secondary_deg: number | null;
  readonly view_text: string | null;
  readonly source_to_detector_mm: number | null;
  readonly source_to_isocenter_mm: number | null;
}

export type TableAxis = "lateral_mm" | "longitudinal_mm" | "height_mm" | "tilt_deg" | "cradle_deg" | "yaw_deg";

export type Table = { readonly [axis in TableAxis]: number | null } & {
  readonly limits: Partial<Record<TableAxis, readonly [number, number]>>;
};

export interface Collimation {
  readonly left_mm: number;
  readonly right_mm: number;
  readonly upper_mm: number;
  readonly lower_mm: number;
  readonly field_mm: number;
}

export interface Technique {
  readonly tube_voltage_kv: number | null;
  readonly tube_current_ma: number | null;
  readonly pulse_width_ms: number | null;
  readonly pulse_rate_hz: number | null;
  readonly pulse_rates_hz: readonly number[];
  readonly copper_mm: number | null;
  readonly coppers_mm: readonly number[];
  readonly automatic: boolean | null;
  readonly dose_level: "low" | "normal" | "high" | null;
  /** What kept the automatic technique from its aim, in words. */
  readonly limited_by?: string | null;
  readonly mode: "fluoroscopy" | "acquisition";
}

export interface Markers {
  readonly column_right: string | null;
  readonly column_left: string | null;
  readonly top: string | null;
  readonly bottom: string | null;
}

export interface StoredImage {
  readonly id: string;
  readonly label: string;
  readonly time: string;
  readonly event_number: number;
}

export interface Run {
  readonly event_number: number;
  readonly time: string;
  readonly frames: number;
  readonly recorded: boolean;
}

export interface PatientChoice {
  readonly name: string;
  readonly description: string;
  readonly available: boolean;
  readonly group?: "modelled" | "made" | "scanned" | null;
  readonly synthetic?: boolean | null;
  /** Where its picture is fetched; null while there is none. */
  readonly thumbnail?: string | null;
  readonly facts?: readonly string[];
  readonly pregnancy_weeks?: number | null;
}

export type Vec3 = readonly [number, number, number];

export interface PatientMovement {
  readonly breathing: "breathe" | "hold" | null;
  readonly breath_phase: number | null;
  readonly coughing: boolean;
  readonly held_s: number | null;
  readonly flexion_deg: number | null;
  readonly side_bend_deg: number | null;
  readonly limits: Partial<Record<"flexion_deg" | "side_bend_deg", readonly [number, number] | null>>;
}

export interface NeedleKind {
  readonly name: string;
  readonly label: string;
  readonly length_mm: number;
  readonly group?: string;
  /** 0 for solid. */
  readonly bore_mm?: number;
}

/** What goes through a needle: `/room/catheters.json`. */
export interface CatheterKind {
  readonly name: string;
  readonly label: string;
  readonly length_mm: number;
  readonly outer_mm: number;
}

export interface CatheterStatus {
  readonly type: string;
  readonly label: string;
  readonly depth_mm: number;
  /** Out of the needle's opening, negative inside it; null when the needle is out. */
  readonly beyond_mm: number | null;
  readonly hollow: boolean;
  readonly tip_mm: Vec3;
  readonly path_mm: readonly Vec3[];
  readonly blocked: string | null;
  readonly truth: { readonly tissue: string; readonly force_n: number | null } | null;
}

/** Points are in the equipment frame. */
export interface NeedleStatus {
  readonly type: string;
  readonly label: string;
  readonly length_mm: number;
  readonly depth_mm: number;
  readonly stylet_in: boolean | null;
  readonly rotation_deg: number | null;
  readonly entry_mm: Vec3;
  readonly tip_mm: Vec3;
  readonly hub_mm: Vec3;
  readonly path_mm: readonly Vec3[];
  readonly resistance: number | null;
  readonly losses: number;
  readonly returns: "csf" | "blood" | null;
  readonly blocked: string | null;
  readonly truth: { readonly tissue: string; readonly force_n: number | null } | null;
}

export interface ContrastStatus {
  readonly injecting: boolean;
  readonly given_ml: number;
  readonly asked_ml: number;
  readonly concentration_mgi_ml: number;
  readonly rate_ml_s: number;
  readonly truth: Readonly<Record<string, number>> | null;
}

/** What `/room/making.json` offers for a patient to be made. */
export interface MakingChoices {
  readonly fields: readonly {
    readonly name: string;
    readonly label: string;
    readonly unit: string;
    readonly min: number;
    readonly max: number;
    readonly step: number;
    /** Null: drawn from the seed when left empty. */
    readonly default: number | null;
  }[];
  readonly pathologies: readonly {
    readonly kind: string;
    readonly label: string;
    readonly needs_level: boolean;
    readonly min: number;
    readonly max: number;
    readonly default: number;
    readonly amount: string;
  }[];
  readonly levels: readonly string[];
}

/** `/room/shape.json`: the patient for the room view, about the point at the isocentre, LPS. */
export interface BodyShape {
  readonly uid: string;
  readonly skin: readonly { readonly z_mm: number; readonly points_mm: readonly (readonly [number, number])[] }[];
  readonly spine: readonly { readonly name: string; readonly position_mm: Vec3 }[];
}

export interface RoomGeometry {
  readonly source_mm: Vec3;
  readonly detector_center_mm: Vec3;
  readonly u: Vec3;
  readonly v: Vec3;
  readonly isocenter_mm: Vec3;
  /** From the isocentre to the back of the C. */
  readonly c_back?: Vec3;
  readonly patient_position: string;
}

export interface RoomMessage {
  readonly id: string;
  readonly level: "info" | "warning" | "stop";
  readonly text: string;
}

/** With what a picture was taken; the picture may be older than where the C-arm stands now. */
export interface ShownPicture {
  readonly label?: string;
  readonly markers: Markers | null;
  readonly view_text: string | null;
  readonly source_to_detector_mm: number | null;
  readonly source_to_isocenter_mm: number | null;
  readonly tube_voltage_kv: number | null;
  readonly tube_current_ma: number | null;
  readonly pulse_width_ms: number | null;
  readonly pulse_rate_hz: number | null;
}

export interface Status {
  readonly type: "status";
  readonly server_ns: number;
  readonly state: RoomState;
  readonly state_reason: string;
  /** Whether radiation is on now; a clip plays without. */
  readonly x_ray_on?: boolean;
  readonly operator: boolean;
  /** Whether someone sits on the operator's seat. */
  readonly operator_present?: boolean;
  readonly viewers: number;
  readonly simulated: boolean;
  readonly patient: {
    readonly name: string;
    readonly id: string;
    readonly position: string;
    readonly description: string;
    readonly source: string;
    readonly synthetic?: boolean | null;
    readonly pregnancy_weeks?: number | null;
    readonly facts?: readonly string[];
    readonly movement?: PatientMovement | null;
  } | null;
  /** Absent or null for a recorded clip: making, positions, marker, needle, contrast, teaching. */
  readonly making?: { readonly text: string; readonly fraction: number | null } | null;
  readonly positions?: readonly string[];
  readonly marker?: { readonly position_mm: Vec3; readonly picture?: { readonly row: number; readonly col: number } | null } | null;
  readonly ruler?: { readonly ends_mm: readonly [Vec3, Vec3] } | null;
  readonly catheter?: CatheterStatus | null;
  readonly needle?: NeedleStatus | null;
  readonly contrast?: ContrastStatus | null;
  readonly teaching?: { readonly show_truth: boolean };
  /** Absent where nobody lies whom a path could be planned in. */
  readonly guidance?: Guidance | null;
  readonly patients: readonly PatientChoice[];
  readonly exam: { readonly uid: string; readonly folder: string; readonly started: string } | null;
  readonly carm: CArm;
  /** Null for a recorded clip, as are collimation, markers and room. */
  readonly table: Table | null;
  readonly detector: {
    readonly rows: number;
    readonly columns: number;
    readonly pitch_mm: number | null;
    readonly field_index: number;
    readonly fields: readonly { readonly label: string; readonly size_mm: number }[];
  };
  readonly collimation: Collimation | null;
  readonly technique: Technique;
  readonly chain: { readonly recursion: number };
  readonly dose: Dose;
  /** What is remembered of this patient; absent where nothing is. */
  readonly history?: History | null;
  readonly pulses: { readonly delivered: number; readonly dropped: number; readonly render_ms: number | null };
  readonly stored: readonly StoredImage[];
  readonly runs: readonly Run[];
  readonly markers: Markers | null;
  readonly room: RoomGeometry | null;
  readonly replay: {
    readonly playing: boolean;
    readonly clip: string | number | null;
    readonly frame: number;
    readonly frames: number;
  };
  readonly messages: readonly RoomMessage[];
  readonly shown?: { readonly live: ShownPicture | null; readonly reference: ShownPicture | null };
}

export interface Hello {
  readonly type: "hello";
  readonly version: string;
  readonly operator: boolean;
  readonly client: string | number;
}

export interface Reply {
  readonly type: "reply";
  readonly id: number;
  readonly ok: boolean;
  readonly error: string | null;
  readonly result: Readonly<Record<string, unknown>>;
}

/** A message of this page that was not of the protocol. */
export interface Complaint {
  readonly type: "error";
  readonly error: string;
}

export type ServerMessage = Hello | Reply | Status | Complaint;

export type CommandArgs = Readonly<Record<string, unknown>>;
