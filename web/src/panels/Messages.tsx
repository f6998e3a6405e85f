/** What the room has to say, and who operates it. */

import { act, link } from "../room/room";
import * as s from "../room/state";

export function Messages() {
  const now = s.status.value;
  const notice = s.notice.value;
  return (
    <div class="messages" role="log" aria-live="polite">
      {now?.state === "FAULT" && (
        <div class="message message-stop" role="alert"><strong>FAULT</strong><span>{now.state_reason}</span></div>
      )}
      {(now?.messages ?? []).filter((m) => now?.state !== "FAULT" || m.text !== now.state_reason).map((m) => (
        <div key={m.id} class={`message message-${m.level}`} role={m.level === "info" ? "status" : "alert"}>
          <strong>{m.level === "info" ? "Note" : m.level === "warning" ? "Warning" : "Stop"}</strong>
          <span>{m.text}</span>
          <button type="button" class="plain" disabled={!s.mayAct.value} onClick={() => act("acknowledge", { id: m.id })}>Acknowledge</button>
        </div>
      ))}
      {now !== null && !now.operator && s.connected.value && (
        <div class="message message-info"><strong>Watching</strong><span>Someone else operates the C-arm; every control here is off.</span>
          <button type="button" class="plain" onClick={() => link.claim()}>Take the controls when free</button></div>
      )}
      {s.narrow.value && <div class="message message-info"><strong>Viewing only</strong><span>Widen the window to 1000 px to operate.</span></div>}
      {s.everConnected.value && !s.connected.value && (
        <div class="message message-warning" role="alert"><strong>{s.link.value === "open" ? "No answer" : "Reconnecting"}</strong><span>The room does not answer. X-ray is released; the images shown are old.</span></div>
      )}
      {notice !== null && <div class={`message message-${notice.level} message-notice`}><span>{notice.text}</span></div>}
    </div>
  );
}
