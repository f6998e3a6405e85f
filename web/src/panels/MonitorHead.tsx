/** Over each monitor: its name, what it shows in one large word, and how old that is. */

import type { Channel } from "../link/decode";
import { ageText } from "../room/format";
import * as s from "../room/state";

export interface Look {
  readonly look: "empty" | "live" | "hold" | "stale" | "stored" | "lost";
  readonly word: string;
  readonly detail: string;
}

export function monitorLook(channel: Channel): Look {
  const { painted } = s.monitors[channel].value;
  const now = s.status.value;
  if (channel === "live") {
    const stale = s.staleMs.value;
    if (stale !== null) return { look: "stale", word: "STALE", detail: `no new image for ${(stale / 1000).toFixed(1)} s` };
    if (s.exposing.value && s.connected.value) return { look: "live", word: s.exposingWord.value, detail: "" };
    if (painted === null) return { look: "empty", word: "", detail: "" };
    if (!s.connected.value) return { look: "lost", word: "NOT CONNECTED", detail: "last image" };
    return { look: "hold", word: "LAST IMAGE HOLD", detail: "" };
  }
  if (painted === null) return { look: "empty", word: "", detail: "" };
  if (now?.replay.playing === true) {
    const at = now.replay.frames > 0 ? ` ${now.replay.frame + 1}/${now.replay.frames}` : "";
    return { look: "stored", word: `REPLAY${at}`, detail: "" };
  }
  return { look: "stored", word: painted.kind === "hold" ? "COPY OF LIVE" : "STORED", detail: "" };
}

export function MonitorHead({ channel }: { channel: Channel }) {
  const look = monitorLook(channel);
  const { painted, shown } = s.monitors[channel].value;
  // The label that comes with a picture is cut at 24 bytes; the status has the whole of it.
  const label = [shown?.label, storedLabel(), painted?.label].find((text) => text !== undefined && text !== "") ?? "";
  return (
    <div class="monitor-head">
      <span class="monitor-name">{channel === "live" ? "LIVE" : "REFERENCE"}</span>
      <span class="monitor-word">{look.word}</span>
      <span class="monitor-age">
        {channel === "live" ? liveAge() : painted === null ? "" : label}
      </span>
    </div>
  );
}

function liveAge(): string {
  const { painted } = s.monitors.live.value;
  if (painted === null) return "";
  const age = painted.ageAtArrivalMs + Math.max(0, s.nowMs.value - painted.arrivedMs);
  if (painted.kind === "live" && s.exposing.value && s.staleMs.value === null) return `image ${ageText(s.readableAgeMs.value)} old`;
  return `taken ${ageText(age)} ago`;
}

function storedLabel(): string {
  const now = s.status.value;
  if (now === null) return "";
  const image = now.stored.find((stored) => stored.id === s.shownStored.value);
  if (image !== undefined) return `${image.label} ${image.time}`;
  const event = s.monitors.reference.value.painted?.eventNumber;
  const run = now.runs.find((r) => r.event_number === event);
  return run === undefined ? "" : `run ${run.event_number} · ${run.time}`;
}
