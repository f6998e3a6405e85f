/** What the room has to say, and who operates it: at most two at a time, the gravest first. */

import type { ComponentChildren } from "preact";

import { act, link } from "../room/room";
import * as s from "../room/state";

interface Said {
  readonly key: string;
  readonly level: "info" | "warning" | "stop";
  readonly head: string;
  readonly text: string;
  readonly button?: ComponentChildren;
}

const GRAVITY = { stop: 0, warning: 1, info: 2 } as const;
const HEADS = { stop: "Stop", warning: "Warning", info: "Note" } as const;
const SHOWN = 2;
/** Away for so long, the room is not just busy. */
const SESSION_MS = 8000;

function ownWords(): Said[] {
  const now = s.status.value;
  const said: Said[] = [];
  if (s.everConnected.value && !s.connected.value) {
    const silent = s.link.value === "open";
    said.push({
      key: "link", level: "stop", head: silent ? "No answer" : "Reconnecting",
      text: s.nowMs.value - s.statusAtMs.value > SESSION_MS && !silent
        ? "The room is closed, or this session ended: open the link that fluoroscope run printed."
        : "The pedal is released. What is shown is old.",
    });
  }
  if (now?.state === "FAULT") {
    const told = now.messages.find((m) => m.text === now.state_reason);
    said.push({ key: "fault", level: "stop", head: "Fault", text: now.state_reason, button: told === undefined ? undefined : <Acknowledge id={told.id} /> });
  }
  else if (now !== null && now.state_reason !== "" && s.connected.value) {
    said.push({ key: "busy", level: "info", head: "Please wait", text: now.state_reason });
  }
  if (s.narrow.value) said.push({ key: "narrow", level: "info", head: "Viewing only", text: "Widen the window to 1000 px to operate." });
  if (now !== null && !now.operator && s.connected.value && !s.narrow.value) {
    const free = now.operator_present === false;
    said.push({
      key: "viewer", level: "info", head: "Watching",
      text: free ? "The operator's seat is free." : "Someone else operates the C-arm; the controls here are off.",
      button: free ? <button type="button" class="plain" onClick={() => link.claim()}>Take the controls</button> : undefined,
    });
  }
  return said;
}

function Acknowledge({ id }: { id: string }) {
  return <button type="button" class="plain" disabled={!s.mayAct.value} onClick={() => act("acknowledge", { id })}>Acknowledge</button>;
}

export function Messages() {
  const now = s.status.value;
  const notice = s.notice.value;
  const all = ownWords();
  for (const m of now?.messages ?? []) {
    if (now?.state === "FAULT" && m.text === now.state_reason) continue;
    all.push({
      key: m.id, level: m.level, head: HEADS[m.level], text: m.text,
      button: <Acknowledge id={m.id} />,
    });
  }
  all.sort((a, b) => GRAVITY[a.level] - GRAVITY[b.level]);
  const room = notice === null ? SHOWN : SHOWN - 1;
  const more = all.length - room;
  return (
    <div class="messages" role="log" aria-live="polite">
      {all.slice(0, room).map(({ key, level, head, text, button }, i) => (
        <div key={key} class={`message message-${level}`} role={level === "info" ? "status" : "alert"}>
          <strong>{head}</strong><span>{text}</span>
          {i === 0 && more > 0 && <small>{more} more</small>}
          {button}
        </div>
      ))}
      {notice !== null && <div class={`message message-${notice.level}`}><span>{notice.text}</span></div>}
    </div>
  );
}
