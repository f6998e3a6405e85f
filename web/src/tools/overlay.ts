/** Drawings over a picture, on a canvas of their own: virtual collimation and measurements. */

import { effect, signal } from "@preact/signals";

import type { Channel } from "../link/decode";
import { seenFromPicture, type Orientation, type Point } from "../picture/orientation";
import { collimationPreview, follow, monitors, orientation, panel, status, type PaintedPicture } from "../room/state";
import { drawGuidance } from "./guidanceoverlay";
import { bladeEdges, type BladeEdges } from "./collimation";
import { complete, depthMm, depthUncertaintyMm, measurements, pictureKey, selected, type Measurement } from "./measurements";
import { resultText } from "./result";

const INK = "#ffd9a0";
const INK_SELECTED = "#ffb347";
const BLADES = "#4cc2ff";

export function drawOverlay(canvas: HTMLCanvasElement, plate: HTMLElement, channel: Channel): () => void {
  const size = signal(0);
  const watch = new ResizeObserver(() => {
    size.value += 1;
  });
  watch.observe(plate);
  const stop = effect(() => {
    follow(size.value);
    draw(canvas, plate, channel);
  });
  return () => {
    watch.disconnect();
    stop();
  };
}

function draw(canvas: HTMLCanvasElement, plate: HTMLElement, channel: Channel): void {
  const turn = orientation.value;
  const monitor = monitors[channel].value;
  const all = measurements.value.filter((m) => m.channel === channel);
  const chosen = selected.value;
  follow(depthMm.value, depthUncertaintyMm.value);
  const preview = collimationPreview.value;
  const ratio = window.devicePixelRatio;
  const size = { x: plate.clientWidth, y: plate.clientHeight };
  const width = Math.round(size.x * ratio);
  const height = Math.round(size.y * ratio);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const painted = monitor.painted;
  const blades = channel === "live" && preview ? previewEdges(painted) : null;
  const marker = channel === "live" ? markerSpot() : null;
  // An empty canvas over the picture still costs the compositor a blend of every pixel.
  const guidance = status.value?.guidance?.overlay[channel] ?? null;
  canvas.hidden = painted === null || (blades === null && marker === null && guidance === null && all.length === 0);
  if (canvas.hidden) return;
  const c = canvas.getContext("2d");
  if (c === null || size.x === 0) return;
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, size.x, size.y);
  if (blades !== null) drawBlades(c, size, turn, blades);
  if (guidance !== null) drawGuidance(c, size, turn, guidance);
  if (marker !== null) drawMarker(c, size, seenFromPicture(marker, turn));
  const key = pictureKey(channel);
  for (const m of all) drawMeasurement(c, size, turn, m, m.id === chosen, m.pictureKey !== key);
}

/** Where the skin marker can be taken hold of on LIVE, in fractions of the picture; null while no hand is at it. */
export function markerSpot(): Point | null {
  const now = status.value;
  const spot = now?.marker?.picture ?? null;
  const handled = panel.value === "needle" && !now?.needle && !now?.catheter;
  return !handled || spot === null ? null : { x: spot.col, y: spot.row };
}

/** A dashed ring, open in the middle: the marker itself is what the X-ray shows. */
function drawMarker(c: CanvasRenderingContext2D, size: Point, at: Point): void {
  c.save();
  for (const [color, width] of [["rgba(0,0,0,0.7)", 4], [BLADES, 1.75]] as const) {
    c.strokeStyle = color;
    c.lineWidth = width;
    c.setLineDash([6, 4]);
    c.beginPath();
    c.arc(at.x * size.x, at.y * size.y, 12, 0, Math.PI * 2);
    c.stroke();
  }
  c.restore();
}

/** The blades as they stand now, on a picture made before they were moved. */
function previewEdges(painted: PaintedPicture | null): BladeEdges | null {
  const now = status.peek()?.collimation;
  if (now === undefined || now === null || painted === null || painted.pitchMm === null) return null;
  return bladeEdges(now, painted.columns * painted.pitchMm, painted.rows * painted.pitchMm);
}

function drawBlades(c: CanvasRenderingContext2D, size: Point, turn: Orientation, edges: BladeEdges): void {
  const a = seenFromPicture({ x: edges.left, y: edges.top }, turn);
  const b = seenFromPicture({ x: edges.right, y: edges.bottom }, turn);
  const x = Math.min(a.x, b.x) * size.x;
  const y = Math.min(a.y, b.y) * size.y;
  const w = Math.abs(a.x - b.x) * size.x;
  const h = Math.abs(a.y - b.y) * size.y;
  c.save();
  c.fillStyle = "rgba(11, 13, 16, 0.35)";
  c.beginPath();
  c.rect(0, 0, size.x, size.y);
  c.rect(x, y, w, h);
  c.fill("evenodd");
  c.strokeStyle = BLADES;
  c.lineWidth = 1.5;
  c.setLineDash([8, 5]);
  c.strokeRect(x, y, w, h);
  c.restore();
}

function drawMeasurement(
  c: CanvasRenderingContext2D, size: Point, turn: Orientation, m: Measurement, chosen: boolean, old: boolean,
): void {
  const at = m.points.map((p: Point) => {
    const q = seenFromPicture(p, turn);
    return { x: q.x * size.x, y: q.y * size.y };
  });
  const first = at[0];
  if (first === undefined) return;
  c.save();
  c.globalAlpha = old ? 0.45 : 1;
  c.lineJoin = "round";
  for (const [color, width] of [["rgba(0,0,0,0.7)", 4], [chosen ? INK_SELECTED : INK, 1.75]] as const) {
    c.strokeStyle = color;
    c.lineWidth = width;
    c.beginPath();
    at.forEach((p, i) => (i === 0 ? c.moveTo(p.x, p.y) : c.lineTo(p.x, p.y)));
    c.stroke();
    for (const p of at) {
      c.beginPath();
      c.arc(p.x, p.y, 5, 0, Math.PI * 2);
      c.stroke();
    }
  }
  if (complete(m)) drawLabel(c, size, at, `${resultText(m)}${old ? " (earlier image)" : ""}`);
  c.restore();
}

function drawLabel(c: CanvasRenderingContext2D, size: Point, at: readonly Point[], text: string): void {
  c.font = "600 15px system-ui, sans-serif";
  const width = c.measureText(text).width + 14;
  const xs = at.map((p) => p.x);
  const ys = at.map((p) => p.y);
  const middle = (Math.min(...xs) + Math.max(...xs)) / 2;
  const x = Math.min(Math.max(middle - width / 2, 4), size.x - width - 4);
  // Below the lines it belongs to; above them where the picture ends.
  const below = Math.max(...ys) + 12;
  const y = below + 30 < size.y ? below : Math.max(4, Math.min(...ys) - 38);
  c.fillStyle = "rgba(11, 13, 16, 0.82)";
  c.fillRect(x, y, width, 26);
  c.fillStyle = "#ffe3ba";
  c.textBaseline = "middle";
  c.fillText(text, x + 7, y + 14);
}
