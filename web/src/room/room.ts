/** The page's side of the room: one link, two painters, and what happens when messages come. */

import { batch, effect } from "@preact/signals";

import { ageMs, type Channel, type Picture } from "../link/decode";
import { Link } from "../link/socket";
import type { CommandArgs, Reply, ShownPicture, Status } from "../link/types";
import { Painter } from "../picture/painter";
import { UPRIGHT } from "../picture/orientation";
import type { DisplayWindow } from "../picture/window";
import { Latency } from "./latency";
import { throttled } from "./movement";
import * as s from "./state";
import { clearMeasurements } from "../tools/measurements";

export const latency = new Latency();

function socketUrl(): string {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  return `${scheme}://${location.host}/ws`;
}

export const link = new Link(socketUrl(), {
  onState(state) {
    s.link.value = state;
    if (state === "open") s.everConnected.value = true;
  },
  onHello() {
    // The operator's seat is in every status.
  },
  onStatus: receiveStatus,
  onPicture(picture) {
    painters[picture.channel].show(picture);
  },
  onTrouble(text) {
    s.tell(`page and room do not understand each other: ${text}`, "warning");
  },
});

function painter(channel: Channel): Painter {
  return new Painter({
    ack: (seq) => link.ack(seq),
    painted: (picture, atMs) => picturePainted(channel, picture, atMs),
  });
}

export const painters = { live: painter("live"), reference: painter("reference") } as const;

/** With what pictures were taken, as far as this page saw it: by stored id, and for the live monitor. */
const seen = new Map<string, ShownPicture>();
let liveShown: ShownPicture | null = null;

function shownNow(status: Status): ShownPicture {
  const { carm, technique } = status;
  return {
    markers: status.markers,
    view_text: carm.view_text,
    source_to_detector_mm: carm.source_to_detector_mm,
    source_to_isocenter_mm: carm.source_to_isocenter_mm,
    tube_voltage_kv: technique.tube_voltage_kv,
    tube_current_ma: technique.tube_current_ma,
    pulse_width_ms: technique.pulse_width_ms,
    pulse_rate_hz: technique.pulse_rate_hz,
  };
}

function receiveStatus(status: Status): void {
  const before = s.status.peek();
  const now = performance.now();
  latency.clock(status.server_ns, now);
  batch(() => {
    s.status.value = status;
    s.statusAtMs.value = now;
    if (now > s.nowMs.peek()) s.nowMs.value = now;
    s.paceReadable(status, now);
    if (s.isExposing(status)) {
      if (s.exposingSinceMs.peek() === null) s.exposingSinceMs.value = now;
      liveShown = shownNow(status);
      s.handledSinceLive.value = false;
      s.exposedCollimation.value = JSON.stringify(status.collimation);
      if (!s.everExposed.peek()) s.rememberExposed();
    } else if (s.exposingSinceMs.peek() !== null) s.exposingSinceMs.value = null;
    // Another exam may have somebody else at the page: nobody signs under the name of the one before.
    if (before !== null && before.exam?.uid !== status.exam?.uid) s.who.value = "";
    rememberStored(before, status);
    const stored = s.shownStored.peek();
    const reference = status.shown === undefined ? (stored === null ? null : (seen.get(stored) ?? null)) : status.shown.reference;
    s.updateMonitor("live", { shown: status.shown === undefined ? liveShown : status.shown.live });
    s.updateMonitor("reference", { shown: reference });
  });
}

function rememberStored(before: Status | null, status: Status): void {
  if (before === null || liveShown === null) return;
  const known = new Set(before.stored.map((image) => image.id));
  for (const image of status.stored) if (!known.has(image.id)) seen.set(image.id, liveShown);
}

function picturePainted(channel: Channel, picture: Picture, atMs: number): void {
  if (picture.rows === 0 || picture.columns === 0) {
    clearMonitor(channel);
    return;
  }
  latency.painted(channel, picture, atMs);
  s.updateMonitor(channel, {
    painted: {
      kind: picture.kind,
      rows: picture.rows,
      columns: picture.columns,
      binning: picture.binning,
      eightBit: picture.pixels instanceof Uint8Array,
      index: picture.index,
      eventNumber: picture.eventNumber,
      pitchMm: picture.pitchMm,
      label: picture.label,
      ageAtArrivalMs: ageMs(picture, picture.arrivedMs),
      arrivedMs: picture.arrivedMs,
    },
    runWindow: { center: picture.windowCenter, width: picture.windowWidth },
    renderer: painters[channel].renderer,
  });
}

/** Another patient or exam: nothing of the one before stays on the glass. */
function clearMonitor(channel: Channel): void {
  s.updateMonitor(channel, { painted: null, window: null, runWindow: null });
  clearMeasurements(channel);
  if (channel === "live") {
    liveShown = null;
    seen.clear();
    s.orientation.value = UPRIGHT;
    s.invert.value = false;
    s.handledSinceLive.value = false;
  } else s.shownStored.value = null;
}

/** Carry out a command; what is refused is said on the page. */
export async function command(name: string, args: CommandArgs = {}): Promise<Reply> {
  const reply = await link.command(name, args);
  if (!reply.ok) s.tell(reply.error ?? `${name} was refused`, "warning");
  else if (/^(marker|ruler|needle_(?!stylet)|catheter|inject)/.test(name) && !s.exposing.peek()) s.handledSinceLive.value = true;
  return reply;
}

/** Fire and forget: the reply's error, if any, is shown by `command`. */
export function act(name: string, args: CommandArgs = {}): void {
  void command(name, args);
}

export function start(): void {
  effect(() => painters.live.setDisplay(s.monitors.live.value.window, s.invert.value));
  effect(() => painters.reference.setDisplay(s.monitors.reference.value.window, s.invert.value));
  for (const channel of ["live", "reference"] as const) {
    // Only pictures the server windows itself (8 bit, for a slow page) depend on it.
    const sendWindow = throttled((window: DisplayWindow) => link.window(channel, window), 100);
    let sent = "";
    effect(() => {
      const { window, runWindow, painted } = s.monitors[channel].value;
      const use = window ?? runWindow;
      const key = `${use?.center} ${use?.width}`;
      if (painted?.eightBit !== true || use === null || key === sent) return;
      sent = key;
      sendWindow(use);
    });
  }
  effect(() => {
    document.title = `Fluoroscope: ${s.status.value?.simulated === false ? "recorded" : "simulated"}, not for clinical use`;
  });
  setInterval(() => {
    s.nowMs.value = performance.now();
    const notice = s.notice.peek();
    if (notice !== null && performance.now() > notice.untilMs) s.notice.value = null;
  }, 100);
  const narrow = matchMedia("(max-width: 999px)");
  const apply = (): void => void (s.narrow.value = narrow.matches);
  narrow.addEventListener("change", apply);
  apply();
  link.connect();
}
