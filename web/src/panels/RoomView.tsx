/** The room in three dimensions; dragging turns the C-arm. */

import { useEffect, useRef } from "preact/hooks";

import { moveJoints } from "../room/controls";
import { fixed } from "../room/format";
import { connected, exposing, follow, joint, mayAct, status } from "../room/state";
import type { RoomScene } from "../room/scene3d";
import { effect } from "@preact/signals";
import { Views } from "./CArmPanel";

const DEG_PER_PX = 0.4;

export function RoomView() {
  const canvasRef = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const canvas = canvasRef.current;
    return canvas === null ? undefined : showRoom(canvas);
  }, []);
  const drag = useRef<{ x: number; y: number; orbital: number; angulation: number } | null>(null);
  const now = status.value;
  return (
    <section class={`roomview ${now !== null && now.room === null ? "is-clip" : ""}`} aria-label="Room">
      <div class="roomview-stage">
        <canvas ref={canvasRef} aria-hidden="true"
          onPointerDown={(event) => {
            if (!mayAct.peek() || event.button !== 0) return;
            event.currentTarget.setPointerCapture(event.pointerId);
            drag.current = { x: event.clientX, y: event.clientY, orbital: joint("orbital")?.value ?? 0, angulation: joint("angulation")?.value ?? 0 };
          }}
          onPointerMove={(event) => {
            const from = drag.current;
            if (from === null) return;
            turnTo(from.orbital + (event.clientX - from.x) * DEG_PER_PX, from.angulation - (event.clientY - from.y) * DEG_PER_PX);
          }}
          onPointerUp={() => (drag.current = null)}
          onPointerCancel={() => (drag.current = null)} />
      </div>
      <p class="roomview-text">
        <strong>{now?.carm.view_text ?? ""}</strong>
        <span>{now?.room === null ? "A recorded clip" : <>C-arm {fixed(now?.carm.primary_deg, 0)}° / {fixed(now?.carm.secondary_deg, 0)}° {roll(now?.carm.roll_deg)}</>}</span>
      </p>
      {now?.room !== null && <Views />}
    </section>
  );
}

function roll(deg: number | null | undefined): string {
  return deg === null || deg === undefined || Math.abs(deg) < 0.5 ? "" : `· image roll ${fixed(deg, 0)}°`;
}

function turnTo(orbital: number, angulation: number): void {
  const wanted: Record<string, number> = {};
  for (const [role, value] of [["orbital", orbital], ["angulation", angulation]] as const) {
    const moved = joint(role);
    if (moved !== null) wanted[moved.name] = Math.round(Math.min(moved.max, Math.max(moved.min, value)) * 2) / 2;
  }
  moveJoints(wanted);
}

/** Load three.js, draw at every change of the room; returns how to stop. */
function showRoom(canvas: HTMLCanvasElement): () => void {
  let scene: RoomScene | null = null;
  let gone = false;
  let pending = false;
  const draw = (): void => {
    pending = false;
    const now = status.peek();
    if (scene === null || now === null || now.room === null || now.table === null || gone) return;
    const detectorMm = now.detector.fields[0]?.size_mm ?? 300;
    scene.show({ room: now.room, table: now.table, detectorMm, exposing: exposing.peek() && connected.peek() });
  };
  // The pictures have the processor first: at most some draws a second here.
  const stop = effect(() => {
    follow(status.value, connected.value);
    if (pending) return;
    pending = true;
    setTimeout(draw, exposing.peek() ? 120 : 30);
  });
  const watch = new ResizeObserver(() => scene?.resize(canvas.clientWidth, canvas.clientHeight));
  watch.observe(canvas);
  void import("../room/scene3d").then((module) => {
    if (gone) return;
    try {
      scene = new module.RoomScene(canvas);
    } catch {
      canvas.hidden = true; // No WebGL: the words and sliders below say the same.
      return;
    }
    scene.resize(canvas.clientWidth, canvas.clientHeight);
    draw();
  });
  return () => {
    gone = true;
    stop();
    watch.disconnect();
    scene?.dispose();
  };
}
