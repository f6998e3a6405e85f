/** The room in three dimensions; dragging turns the C-arm. */

import { useEffect, useRef } from "preact/hooks";

import { dragMarker, moveJoints, moveNeedle, placeArmed } from "../room/controls";
import { fixed } from "../room/format";
import { connected, exposing, follow, joint, mayAct, near, placing, status } from "../room/state";
import type { BodyShape, Status } from "../link/types";
import { roomScene } from "../room/roomscene";
import { followSkin, skinKnown, skinOn, skinTurned } from "../room/skinmapdata";
import { effect, untracked } from "@preact/signals";
import { Views } from "./CArmPanel";
import { SkinButtons, SkinPeak, showPeak, turnSkin } from "./SkinOnBody";

const DEG_PER_PX = 0.4;

type Grip =
  | { readonly kind: "carm"; readonly x: number; readonly y: number; readonly orbital: number; readonly angulation: number }
  | { readonly kind: "needle"; x: number; y: number }
  | { readonly kind: "marker" }
  | { readonly kind: "skin"; x: number; y: number };

export function RoomView() {
  const canvasRef = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const canvas = canvasRef.current;
    return canvas === null ? undefined : showRoom(canvas);
  }, []);
  const grip = useRef<Grip | null>(null);
  const now = status.value;
  const nearby = now?.needle !== undefined;
  return (
    <section class={`roomview ${now !== null && now.room === null ? "is-clip" : ""} ${near.value ? "is-near" : ""}`} aria-label="Room">
      <div class={`roomview-stage ${placing.value?.where === "room" ? "is-armed" : ""}`}>
        <canvas ref={canvasRef} aria-hidden="true"
          onPointerDown={(event) => {
            if (skinTurned.peek() !== null && event.button === 0) {
              event.currentTarget.setPointerCapture(event.pointerId);
              grip.current = { kind: "skin", x: event.clientX, y: event.clientY };
              return;
            }
            if (!mayAct.peek() || event.button !== 0) return;
            const box = event.currentTarget.getBoundingClientRect();
            const x = event.clientX - box.left;
            const y = event.clientY - box.top;
            if (roomScene.current !== null && placing.peek()?.where === "room") {
              placeArmed({ ray: roomScene.current.ray(x / box.width, y / box.height) });
              return;
            }
            event.currentTarget.setPointerCapture(event.pointerId);
            const scene = roomScene.current;
            if (scene?.holdsNeedle(x, y, box.width, box.height) === true) grip.current = { kind: "needle", x: event.clientX, y: event.clientY };
            else if (scene?.holdsMarker(x, y, box.width, box.height) === true) grip.current = { kind: "marker" };
            else grip.current = { kind: "carm", x: event.clientX, y: event.clientY, orbital: joint("orbital")?.value ?? 0, angulation: joint("angulation")?.value ?? 0 };
          }}
          onPointerMove={(event) => {
            const from = grip.current;
            if (from === null) return;
            if (from.kind === "marker") {
              const box = event.currentTarget.getBoundingClientRect();
              const ray = roomScene.current?.ray((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
              if (ray !== undefined) dragMarker({ ray });
              return;
            }
            const dx = event.clientX - from.x;
            const dy = event.clientY - from.y;
            if (from.kind === "carm") turnTo(from.orbital + dx * DEG_PER_PX, from.angulation - dy * DEG_PER_PX);
            else {
              if (from.kind === "skin") turnSkin(dx * DEG_PER_PX, dy * DEG_PER_PX);
              else {
                const moved = roomScene.current?.drag(dx, dy, event.currentTarget.clientWidth, event.currentTarget.clientHeight) ?? null;
                if (moved !== null) moveNeedle({ ...moved });
              }
              from.x = event.clientX;
              from.y = event.clientY;
            }
          }}
          onPointerUp={() => (grip.current = null)}
          onPointerCancel={() => (grip.current = null)} />
        <SkinPeak />
      </div>
      <div class="roomview-line">
        <p class="roomview-text">
          <strong>{now?.carm.view_text ?? ""}</strong>
          <span>{now?.room === null ? "A recorded clip" : <>C-arm {fixed(now?.carm.primary_deg, 0)}° / {fixed(now?.carm.secondary_deg, 0)}° {roll(now?.carm.roll_deg)}</>}</span>
        </p>
        {nearby && (
          <button type="button" class={`plain near ${near.value ? "is-on" : ""}`} aria-pressed={near.value} aria-label="Look from near, at the needle" onClick={() => (near.value = !near.value)}>
            {near.value ? "Whole room" : "From near"}
          </button>
        )}
      </div>
      {now?.room !== null && <SkinButtons />}
      {now?.room !== null && <Views />}
      {near.value && <p class="hint">{dragHint(now)}</p>}
    </section>
  );
}

function dragHint(now: Status | null): string {
  if (now?.catheter) return "Drag the hub along the needle: the catheter goes in and out.";
  if (now?.needle) return "Drag the needle's hub: along it goes in and out, across it swings.";
  return now?.marker ? "Drag the skin marker to where the needle shall go in." : "";
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
  let shape: BodyShape | null = null;
  let shapeOf = "";
  let gone = false;
  let pending = false;
  const draw = (): void => {
    pending = false;
    const now = status.peek();
    const scene = roomScene.current;
    if (scene === null || now === null || now.room === null || now.table === null || gone) return;
    const known = skinOn.peek() ? skinKnown.peek() : null;
    const detectorMm = now.detector.fields[0]?.size_mm ?? 300;
    const planned = now.guidance?.on === true ? now.guidance.chosen : null;
    scene.show({
      room: now.room, table: now.table, detectorMm, exposing: exposing.peek() && connected.peek(),
      needle: now.needle ?? null, catheterMm: now.catheter?.path_mm ?? null,
      markerMm: now.marker?.position_mm ?? null, rulerMm: now.ruler?.ends_mm ?? null,
      pathMm: planned ? [planned.entry_mm, planned.target_mm] : null, shape, near: near.peek(),
      skin: known === null ? null : { ...known, view: skinTurned.peek() },
    });
    showPeak(scene.peakSeen());
    // Another patient has another shape.
    const uid = `${now.patient?.id} ${now.patient?.name}`;
    if (uid === shapeOf || now.needle === undefined) return;
    shapeOf = uid;
    void fetchShape().then((known) => {
      shape = known;
      draw();
    });
  };
  // The pictures have the processor first: at most some draws a second here.
  const stop = effect(() => {
    follow(status.value, connected.value, near.value, skinOn.value, skinKnown.value, skinTurned.value);
    if (pending) return;
    pending = true;
    setTimeout(draw, exposing.peek() ? 120 : 30);
  });
  const watch = new ResizeObserver(() => {
    roomScene.current?.resize(canvas.clientWidth, canvas.clientHeight);
    showPeak(roomScene.current?.peakSeen() ?? null);
  });
  // The doses are fetched only while they are looked at.
  let unfollow: (() => void) | null = null;
  const stopFollowing = effect(() => {
    if (skinOn.value === (unfollow !== null)) return;
    unfollow?.();
    unfollow = skinOn.value ? untracked(followSkin) : null;
  });
  watch.observe(canvas);
  void import("../room/scene3d").then((module) => {
    if (gone) return;
    try {
      roomScene.current = new module.RoomScene(canvas);
    } catch {
      canvas.hidden = true; // No WebGL: the words and sliders below say the same.
      return;
    }
    roomScene.current.resize(canvas.clientWidth, canvas.clientHeight);
    draw();
  });
  return () => {
    gone = true;
    stop();
    stopFollowing();
    unfollow?.();
    watch.disconnect();
    roomScene.current?.dispose();
    roomScene.current = null;
  };
}

/** The patient's own outlines; null where the room does not know them. */
async function fetchShape(): Promise<BodyShape | null> {
  try {
    const answer = await fetch("/room/shape.json");
    return answer.ok ? ((await answer.json()) as BodyShape) : null;
  } catch {
    return null;
  }
}
