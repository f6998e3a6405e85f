/** One monitor: the picture, its words and letters, the canvas of drawings, and the hands on it. */

import { useEffect, useRef } from "preact/hooks";

import type { Channel } from "../link/decode";
import { cssTransform, orientationText, plateSize, seenEdges } from "../picture/orientation";
import { painters } from "../room/room";
import * as s from "../room/state";
import { drawOverlay } from "../tools/overlay";
import { attachHands } from "../tools/hands";
import { BeforeExposure } from "./BeforeExposure";
import { MonitorHead, monitorLook } from "./MonitorHead";
import { PictureText } from "./PictureText";

const wanted = new URLSearchParams(location.search).get("renderer");

const percent = (share: number): string => `${share * 100}%`;

export function MonitorView({ channel }: { channel: Channel }) {
  const pictureRef = useRef<HTMLCanvasElement>(null);
  const overlayRef = useRef<HTMLCanvasElement>(null);
  const glassRef = useRef<HTMLDivElement>(null);
  const plateRef = useRef<HTMLDivElement>(null);
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
    const plate = plateRef.current;
    if (overlay === null || plate === null || glassRef.current === null) return;
    const stopDrawing = drawOverlay(overlay, plate, channel);
    const letGo = attachHands(glassRef.current, plate, channel);
    return () => {
      stopDrawing();
      letGo();
    };
  }, [channel]);

  const { painted, shown } = s.monitors[channel].value;
  const rows = painted?.rows ?? 1;
  const columns = painted?.columns ?? 1;
  useEffect(() => {
    const picture = pictureRef.current;
    const plate = plateRef.current;
    if (picture === null || plate === null) return;
    const { seen, laid } = plateSize(rows, columns, turn);
    plate.style.width = percent(seen.x);
    plate.style.height = percent(seen.y);
    picture.style.width = percent(laid.x / seen.x);
    picture.style.height = percent(laid.y / seen.y);
    picture.style.left = percent((1 - laid.x / seen.x) / 2);
    picture.style.top = percent((1 - laid.y / seen.y) / 2);
    picture.style.transform = cssTransform(turn);
  }, [turn, rows, columns]);
  const edges = seenEdges(painted === null ? null : (shown?.markers ?? null), turn);
  const look = monitorLook(channel);
  const name = channel === "live" ? "LIVE" : "REFERENCE";
  return (
    <section class={`monitor monitor-${channel} look-${look.look}`} aria-label={`${name} monitor: ${look.word}`}>
      <MonitorHead channel={channel} />
      <div class="glass-room">
        <div class="glass" ref={glassRef}>
          <div class="plate" ref={plateRef}>
            <canvas ref={pictureRef} class={`picture ${painted === null ? "is-empty" : ""}`} width={8} height={8} />
            <canvas ref={overlayRef} class="overlay" aria-hidden="true" />
          </div>
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
  return <BeforeExposure />;
}
