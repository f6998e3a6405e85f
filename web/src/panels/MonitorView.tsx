/** One monitor: the picture, its words and letters, the canvas of drawings, and the hands on it. */

import { useEffect, useRef } from "preact/hooks";

import type { Channel } from "../link/decode";
import { cssTransform, orientationText, seenEdges } from "../picture/orientation";
import { painters } from "../room/room";
import * as s from "../room/state";
import { drawOverlay } from "../tools/overlay";
import { attachHands } from "../tools/hands";
import { MonitorHead, monitorLook } from "./MonitorHead";
import { PictureText } from "./PictureText";

const wanted = new URLSearchParams(location.search).get("renderer");

export function MonitorView({ channel }: { channel: Channel }) {
  const pictureRef = useRef<HTMLCanvasElement>(null);
  const overlayRef = useRef<HTMLCanvasElement>(null);
  const glassRef = useRef<HTMLDivElement>(null);
  const turn = s.orientation.value;

  useEffect(() => {
    const canvas = pictureRef.current;
    if (canvas === null) return;
    painters[channel].attach(canvas, wanted);
    s.updateMonitor(channel, { renderer: painters[channel].renderer });
    return () => painters[channel].detach();
  }, [channel]);
  useEffect(() => {
    const overlay = overlayRef.current;
    const glass = glassRef.current;
    if (overlay === null || glass === null) return;
    const stopDrawing = drawOverlay(overlay, glass, channel);
    const letGo = attachHands(glass, channel);
    return () => {
      stopDrawing();
      letGo();
    };
  }, [channel]);
  useEffect(() => {
    if (pictureRef.current !== null) pictureRef.current.style.transform = cssTransform(turn);
  }, [turn]);

  const { painted, shown } = s.monitors[channel].value;
  const edges = seenEdges(painted === null ? null : (shown?.markers ?? null), turn);
  const look = monitorLook(channel);
  const name = channel === "live" ? "LIVE" : "REFERENCE";
  return (
    <section class={`monitor monitor-${channel} look-${look.look}`} aria-label={`${name} monitor: ${look.word}`}>
      <MonitorHead channel={channel} />
      <div class="glass-room">
        <div class="glass" ref={glassRef}>
          <canvas ref={pictureRef} class={`picture ${painted === null ? "is-empty" : ""}`} width={8} height={8} />
          <canvas ref={overlayRef} class="overlay" aria-hidden="true" />
          {painted !== null && (
            <>
              <span class="letter letter-left">{edges.left}</span>
              <span class="letter letter-right">{edges.right}</span>
              <span class="letter letter-top">{edges.top}</span>
              <span class="letter letter-bottom">{edges.bottom}</span>
              <PictureText channel={channel} orientation={orientationText(turn)} />
            </>
          )}
          {painted === null && <EmptyText channel={channel} />}
          {look.look === "stale" && <div class="stale-cover"><span>STALE</span><small>{look.detail}</small></div>}
        </div>
      </div>
    </section>
  );
}

function EmptyText({ channel }: { channel: Channel }) {
  if (channel === "reference") {
    return <p class="empty">Stored images, replays and copies of LIVE appear here.</p>;
  }
  if (s.everExposed.value) return <p class="empty">No image yet.</p>;
  return (
    <div class="first-card">
      <p>Hold <kbd>SPACE</kbd> for X-ray.</p>
      <p>Drag the C-arm.</p>
      <p>Press <kbd>?</kbd> for keys.</p>
    </div>
  );
}
