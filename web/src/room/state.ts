/** What the page knows now. Components read these signals; only the modules of `room/` write them. */

import { computed, signal } from "@preact/signals";

import type { Channel, PictureKind } from "../link/decode";
import type { PlanChoices } from "../link/guidance";
import type { LinkState } from "../link/socket";
import type { CatheterKind, Joint, NeedleKind, ShownPicture, Status } from "../link/types";
import { UPRIGHT, type Orientation } from "../picture/orientation";
import type { DisplayWindow } from "../picture/window";

export type PanelId = "room" | "patient" | "carm" | "needle" | "guidance" | "dose" | "technique" | "field" | "picture" | "measure";

export const link = signal<LinkState>("connecting");
export const everConnected = signal(false);
export const status = signal<Status | null>(null);
/** `performance.now()` of the last status. */
export const statusAtMs = signal(0);
/** Ticks every 100 ms so that ages and the STALE watch move on their own. */
export const nowMs = signal(0);

/** What is painted on a monitor, without its pixels. */
export interface PaintedPicture {
  readonly kind: PictureKind;
  readonly rows: number;
  readonly columns: number;
  readonly binning: number;
  readonly eightBit: boolean;
  readonly index: number;
  readonly eventNumber: number;
  readonly pitchMm: number | null;
  readonly label: string;
  readonly ageAtArrivalMs: number;
  readonly arrivedMs: number;
}

export interface MonitorState {
  readonly painted: PaintedPicture | null;
  /** The user's window; null means that of the run. */
  readonly window: DisplayWindow | null;
  readonly runWindow: DisplayWindow | null;
  readonly shown: ShownPicture | null;
  readonly renderer: "webgl2" | "canvas2d" | null;
}

const EMPTY: MonitorState = { painted: null, window: null, runWindow: null, shown: null, renderer: null };

export const monitors = { live: signal<MonitorState>(EMPTY), reference: signal<MonitorState>(EMPTY) } as const;

export function updateMonitor(channel: Channel, change: Partial<MonitorState>): void {
  monitors[channel].value = { ...monitors[channel].peek(), ...change };
}

export const orientation = signal<Orientation>(UPRIGHT);
export const invert = signal(false);
export const pedalDown = signal(false);
/** Whether what has the focus takes text: SPACE is a blank there, and no pedal. */
export const typing = signal(false);
export const everExposed = signal(readFlag("fluoroscope.exposed"));
export const helpOpen = signal(false);
export const patientsOpen = signal(false);
export const closingExam = signal(false);
/** A box that asks for something about the dose. */
export const doseDialog = signal<"outside" | "budget" | null>(null);
/** Who last put a name to something on this page. */
export const who = signal("");
export const panel = signal<PanelId>("carm");
/** What the next click places, and where it is clicked. */
export interface Placing {
  readonly what: "marker" | "needle" | "ruler along the spine" | "ruler across";
  readonly where: "picture" | "room";
}
export const placing = signal<Placing | null>(null);
/** Whether the room view looks at the needle from near. */
export const near = signal(false);
/** What can be put in: `/room/needles.json`, fetched once. */
export const needleKinds = signal<readonly NeedleKind[]>([]);
/** What goes through a needle: `/room/catheters.json`, fetched once. */
export const catheterKinds = signal<readonly CatheterKind[]>([]);
export const needleType = signal<string | null>(null);
export const needleToward = signal<"beam" | "skin">("beam");
/** What can be planned: `/room/guidance.json`, fetched anew for each patient. */
export const planChoices = signal<PlanChoices | null>(null);
/** Whether the panel of planning was asked for by key: it then takes the keys, once. */
export const planningAsked = signal(false);
/** Counts how often the next step was asked for by key. */
export const takeNext = signal(0);
export const makingPatient = signal(false);
export const pedalMode = signal<"fluoroscopy" | "acquisition">("fluoroscopy");
export const shownStored = signal<string | null>(null);
/** A sentence of the room or the page, shown for some seconds. */
export const notice = signal<{ readonly text: string; readonly level: "info" | "warning"; readonly untilMs: number } | null>(
  null,
);
export const narrow = signal(false);

/** Make the running effect or component follow signals it reads only indirectly. */
export function follow(...values: readonly unknown[]): number {
  return values.length;
}

/** The status at a pace eyes can read: at every change of state, else twice a second. */
export const readable = signal<Status | null>(null);
/** Age of the picture on LIVE, sampled at the same pace. */
export const readableAgeMs = signal<number | null>(null);
let readableAtMs = -Infinity;

export function paceReadable(now: Status, atMs: number): void {
  const before = readable.peek();
  if (before?.state === now.state && now.state === "EXPOSING" && atMs - readableAtMs < 500) return;
  readable.value = now;
  readableAtMs = atMs;
  const painted = monitors.live.peek().painted;
  readableAgeMs.value = painted === null ? null : painted.ageAtArrivalMs + Math.max(0, atMs - painted.arrivedMs);
}

export function tell(text: string, level: "info" | "warning" = "info"): void {
  notice.value = { text, level, untilMs: performance.now() + (level === "info" ? 2500 : 5000) };
}

/** No word of the server for this long while it should speak twice a second: it is taken for lost. */
export const SILENT_MS = 1600;

export const connected = computed(
  () => link.value === "open" && status.value !== null && nowMs.value - statusAtMs.value < SILENT_MS,
);
/** Whether the C-arm looks from elsewhere than when the picture held on LIVE was made. */
export const movedSinceLive = computed(() => {
  const { painted, shown } = monitors.live.value;
  const now = status.value;
  if (painted === null || painted.kind === "live" || shown === null || now === null || now.carm.joints.length === 0) return false;
  return shown.view_text !== now.carm.view_text;
});
/** Radiation on now, or a clip playing; not the rest of a run being written after the release. */
export const isExposing = (now: Status | null): boolean => now?.state === "EXPOSING" && now.x_ray_on !== false;
export const exposing = computed(() => isExposing(status.value));
/** The word for it: a recorded clip gives no X-ray. */
export const recorded = computed(() => status.value?.dose.source === "recorded");
export const exposingWord = computed(() => (recorded.value ? "PLAYING" : "X-RAY ON"));
export const operator = computed(() => status.value?.operator === true);
/** While the room changes patient or exam. */
export const busy = computed(() => status.value !== null && status.value.state_reason !== "" && !["EXPOSING", "FAULT"].includes(status.value.state));
/** Whether this page may act now. */
export const mayAct = computed(() => connected.value && operator.value && !narrow.value);

/** While exposing: no picture for longer than this makes the live monitor STALE. */
export function staleAfterMs(pulseRateHz: number | null): number {
  return pulseRateHz === null ? 500 : Math.max(500, 3000 / pulseRateHz);
}

export const exposingSinceMs = signal<number | null>(null);
/** For how long LIVE has been without a new picture while it should have one; null when it is not stale. */
export const staleMs = computed<number | null>(() => {
  const since = exposingSinceMs.value;
  const current = status.value;
  if (since === null || current === null) return null;
  const painted = monitors.live.value.painted;
  const last = painted !== null && painted.kind === "live" ? Math.max(since, painted.arrivedMs) : since;
  const silent = nowMs.value - last;
  if (link.value !== "open") return silent;
  return silent > staleAfterMs(current.technique.pulse_rate_hz) ? silent : null;
});

function readFlag(key: string): boolean {
  try {
    return localStorage.getItem(key) === "1";
  } catch {
    return false; // Storage may be forbidden; the card is then shown again.
  }
}

export function rememberExposed(): void {
  everExposed.value = true;
  try {
    localStorage.setItem("fluoroscope.exposed", "1");
  } catch {
    // Storage may be forbidden; nothing depends on it.
  }
}

/** The joint that does `role`: of every C-arm model the first turns around the patient, the second to head and feet. */
export function joint(role: "orbital" | "angulation"): Joint | null {
  return status.peek()?.carm.joints[role === "orbital" ? 0 : 1] ?? null;
}

/** Whether marker, ruler, needle, catheter or syringe was moved since X-ray showed them last. */
export const handledSinceLive = signal(false);

/** Blades are drawn without radiation: while they were set since the picture on LIVE was made. */
export const collimationPreview = computed(() => {
  const now = status.value;
  return now !== null && now.state !== "EXPOSING" && JSON.stringify(now.collimation) !== exposedCollimation.value;
});
export const exposedCollimation = signal("");
