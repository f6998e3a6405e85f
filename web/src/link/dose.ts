/** The dose part of docs/reference/page-protocol.md. What is not known is null; what a room does not have is absent. */

export interface Dose {
  readonly air_kerma_rate_mgy_min: number | null;
  readonly air_kerma_mgy: number | null;
  readonly kap_gy_cm2: number | null;
  readonly fluoroscopy_time_s: number | null;
  readonly acquisition_time_s: number | null;
  readonly reference_point: string;
  readonly source: string;
  readonly five_minute_signal: boolean;
  readonly alerts?: DoseAlerts;
  readonly skin?: SkinStatus | null;
  readonly control?: DoseControl | null;
  readonly estimates?: DoseEstimates | null;
  readonly staff?: { readonly revision: number } | null;
}

/** Levels that were reached and nobody acknowledged yet, and the one that comes next. */
export interface DoseAlerts {
  readonly count: number;
  /** The last one raised. */
  readonly up_to: string | null;
  /** Of each quantity the highest. */
  readonly open: readonly DoseAlert[];
  readonly next?: NextAlert | null;
}

export interface DoseAlert {
  readonly quantity: string;
  readonly words: string;
  readonly level: number;
  readonly unit: string;
  readonly kind: "first" | "next" | "substantial";
  readonly at_event: number | null;
  readonly source: string;
}

/** The level nearest above what this exam has given, in parts of it. */
export interface NextAlert {
  readonly quantity: string;
  readonly words: string;
  readonly level: number;
  readonly unit: string;
  readonly kind: "first" | "next" | "substantial";
  readonly source: string;
  readonly value: number;
  readonly fraction: number;
}

export interface SkinStatus {
  readonly revision: number;
  readonly peak_mgy: number;
  readonly uncertainty_percent: number;
  readonly share_on_patient: number | null;
  readonly where: string;
  /** Patient LPS about the point at the isocentre. */
  readonly position_mm: readonly [number, number, number] | null;
  readonly phantom: string;
  readonly estimate: boolean;
}

export interface Signed {
  readonly by: string;
  readonly reason: string;
}

export interface Screening {
  readonly needed: boolean;
  readonly question: string;
  readonly answer: "no" | "possible" | "yes" | null;
  readonly by: string | null;
  /** Whether it forbids X-ray now. */
  readonly blocks: boolean;
  readonly override: Signed | null;
  readonly why: string;
}

export interface PaceRow {
  readonly quantity: string;
  readonly words: string;
  readonly unit: string;
  readonly value: number | null;
  readonly typical: number | null;
  readonly reference_level: number | null;
  readonly fraction_of_typical: number | null;
  /** First and third quartile of the room's own cases, null where `typical` is not of its own. */
  readonly quartiles?: readonly [number, number] | null;
}

export interface Pace {
  readonly procedure: string;
  readonly label: string;
  readonly choices: readonly { readonly name: string; readonly label: string }[];
  readonly rows: readonly PaceRow[];
  readonly source: string;
}

export interface Advice {
  readonly text: string;
  readonly saving_percent: number | null;
  readonly command: { readonly name: string; readonly args: Readonly<Record<string, unknown>> } | null;
}

export interface Budget {
  readonly quantity: string;
  readonly words: string;
  readonly unit: string;
  readonly value: number | null;
  readonly limit: number;
  readonly fraction: number | null;
  readonly stopped: boolean;
  readonly overruled: Signed | null;
}

export interface DoseLimits {
  readonly rate_mgy_min: number | null;
  readonly limit_mgy_min: number | null;
  /** Where the rate is measured. */
  readonly at: string;
  readonly high_level: boolean;
}

export interface DoseControl {
  readonly screening: Screening | null;
  readonly pace: Pace | null;
  readonly advice: Advice | null;
  readonly budget: Budget | null;
  readonly limits: DoseLimits | null;
  readonly calibration: { readonly factor: number; readonly source: string } | null;
}

export interface DoseEstimates {
  readonly effective_msv: number | null;
  readonly effective_spread: number | readonly [number, number] | null;
  readonly coefficient: { readonly name: string; readonly msv_per_gy_cm2: number; readonly source: string } | null;
  readonly organs: readonly { readonly name: string; readonly mgy: number }[];
  readonly conceptus: {
    readonly mgy: number | null;
    readonly low_mgy: number | null;
    readonly high_mgy: number | null;
    readonly band: string;
    readonly text: string;
  } | null;
  readonly risk: { readonly per_million: number | null; readonly model: string; readonly text: string } | null;
  readonly note: string;
}

export interface OutsideExposure {
  readonly id: string | number;
  readonly kind: string;
  readonly body_part: string;
  readonly place: string;
  readonly when: string;
  readonly confirmed: boolean;
  /** Kept by the room until the registry takes it. */
  readonly waiting?: boolean;
}

export interface History {
  readonly known: boolean;
  readonly patient_id: string;
  readonly exams: number;
  readonly since: string | null;
  readonly cumulative: {
    readonly air_kerma_mgy: number | null;
    readonly kap_gy_cm2: number | null;
    readonly fluoroscopy_time_s: number | null;
    readonly effective_msv: number | null;
    readonly peak_skin_mgy: number | null;
  };
  readonly last: Readonly<Record<string, unknown>> | null;
  readonly outside: readonly OutsideExposure[];
  readonly unknown: readonly string[];
  readonly lines: readonly string[];
  /** Why the registry does not answer, "" when it does; what the room keeps until it does. */
  readonly trouble?: string;
}
