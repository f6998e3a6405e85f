/** Guidance drawn over a picture: corridor, bull's-eye, target, dura, names of the levels, the needle with its ±. */

import type { GuidanceOverlay, NeedleSeen, Spot } from "../link/guidance";
import { seenFromPicture, type Orientation, type Point } from "../picture/orientation";

const PLAN = "#4cc2ff";
const BONE = "#ffd9a0";
const NEEDLE = "#ffffff";
const DARK = "rgba(0,0,0,0.75)";

interface Sheet {
  readonly c: CanvasRenderingContext2D;
  readonly size: Point;
  readonly turn: Orientation;
  /** Pixels on the glass of the picture's own width. */
  readonly width: number;
}

export function drawGuidance(c: CanvasRenderingContext2D, size: Point, turn: Orientation, overlay: GuidanceOverlay): void {
  const sheet: Sheet = { c, size, turn, width: turn.turns % 2 === 0 ? size.x : size.y };
  c.save();
  c.globalAlpha = overlay.opacity;
  c.lineJoin = "round";
  for (const outline of overlay.outlines) stroke(sheet, outline, BONE, 1, []);
  drawCorridor(sheet, overlay);
  drawTarget(sheet, overlay);
  for (const level of overlay.levels) label(sheet, level, level.name, BONE, 22);
  if (overlay.needle !== null) drawNeedle(sheet, overlay.needle);
  if (!overlay.locked) warn(sheet, overlay.lock_text);
  c.restore();
}

function at({ size, turn }: Sheet, spot: Spot): Point {
  const seen = seenFromPicture({ x: spot.col, y: spot.row }, turn);
  return { x: seen.x * size.x, y: seen.y * size.y };
}

/** A line with a dark rim: over bone and over air it is seen alike. */
function stroke(sheet: Sheet, spots: readonly Spot[], color: string, width: number, dash: readonly number[]): void {
  const { c } = sheet;
  for (const [ink, w] of [[DARK, width + 2], [color, width]] as const) {
    c.strokeStyle = ink;
    c.lineWidth = w;
    c.setLineDash([...dash]);
    c.beginPath();
    spots.forEach((spot, i) => {
      const p = at(sheet, spot);
      if (i === 0) c.moveTo(p.x, p.y);
      else c.lineTo(p.x, p.y);
    });
    c.stroke();
  }
  c.setLineDash([]);
}

function ring(sheet: Sheet, spot: Spot, radiusPx: number, color: string, width: number, dash: readonly number[] = []): void {
  const { c } = sheet;
  const p = at(sheet, spot);
  for (const [ink, w] of [[DARK, width + 2], [color, width]] as const) {
    c.strokeStyle = ink;
    c.lineWidth = w;
    c.setLineDash([...dash]);
    c.beginPath();
    c.arc(p.x, p.y, radiusPx, 0, Math.PI * 2);
    c.stroke();
  }
  c.setLineDash([]);
}

function drawCorridor(sheet: Sheet, { corridor, entry, target, view }: GuidanceOverlay): void {
  const { c } = sheet;
  if (corridor !== null && view !== "coaxial") {
    const [left, right] = corridor;
    c.save();
    c.globalAlpha *= 0.14;
    c.fillStyle = PLAN;
    c.beginPath();
    [...left, ...[...right].reverse()].forEach((spot, i) => {
      const p = at(sheet, spot);
      if (i === 0) c.moveTo(p.x, p.y);
      else c.lineTo(p.x, p.y);
    });
    c.fill();
    c.restore();
    stroke(sheet, left, PLAN, 1.25, []);
    stroke(sheet, right, PLAN, 1.25, []);
  }
  stroke(sheet, [entry, target], PLAN, 1.5, [9, 6]);
}

function drawTarget(sheet: Sheet, { target, entry, dura, rings, view }: GuidanceOverlay): void {
  const px = (share: number): number => share * sheet.width;
  rings.forEach(({ radius }, i) => ring(sheet, target, Math.max(px(radius), 4), PLAN, i === 0 ? 2 : 1.25, i === 0 ? [] : [5, 4]));
  cross(sheet, target, PLAN, 5);
  if (view === "coaxial") return;
  ring(sheet, entry, 6, PLAN, 1.75);
  if (dura !== null) tick(sheet, dura, entry, target);
}

function cross(sheet: Sheet, spot: Spot, color: string, arm: number): void {
  const { c } = sheet;
  const p = at(sheet, spot);
  for (const [ink, w] of [[DARK, 4], [color, 1.75]] as const) {
    c.strokeStyle = ink;
    c.lineWidth = w;
    c.beginPath();
    c.moveTo(p.x - arm, p.y);
    c.lineTo(p.x + arm, p.y);
    c.moveTo(p.x, p.y - arm);
    c.lineTo(p.x, p.y + arm);
    c.stroke();
  }
}

/** A bar across the path where the dura is expected. */
function tick(sheet: Sheet, spot: Spot, entry: Spot, target: Spot): void {
  const { c } = sheet;
  const p = at(sheet, spot);
  const a = at(sheet, entry);
  const b = at(sheet, target);
  const length = Math.hypot(b.x - a.x, b.y - a.y);
  if (length < 20) return;
  const x = (-(b.y - a.y) / length) * 13;
  const y = ((b.x - a.x) / length) * 13;
  for (const [ink, w] of [[DARK, 4.5], [PLAN, 2.25]] as const) {
    c.strokeStyle = ink;
    c.lineWidth = w;
    c.beginPath();
    c.moveTo(p.x - x, p.y - y);
    c.lineTo(p.x + x, p.y + y);
    c.stroke();
  }
  words(sheet, { x: p.x + Math.abs(x) + 16, y: p.y - 4 }, "dura", PLAN, 14);
}

function drawNeedle(sheet: Sheet, needle: NeedleSeen): void {
  const { c, width } = sheet;
  stroke(sheet, needle.path, NEEDLE, 1, [2, 5]);
  const p = at(sheet, needle.tip);
  // The picture may be turned and mirrored: the ellipse's way is taken through two points.
  const turn = (needle.angle_deg * Math.PI) / 180;
  const beside = at(sheet, { row: needle.tip.row + 0.01 * Math.sin(turn), col: needle.tip.col + 0.01 * Math.cos(turn) });
  const angle = Math.atan2(beside.y - p.y, beside.x - p.x);
  for (const [ink, w] of [[DARK, 4], [NEEDLE, 1.75]] as const) {
    c.strokeStyle = ink;
    c.lineWidth = w;
    c.beginPath();
    c.ellipse(p.x, p.y, Math.max(needle.along * width, 3.5), Math.max(needle.across * width, 3.5), angle, 0, Math.PI * 2);
    c.stroke();
  }
}

function label(sheet: Sheet, spot: Spot, text: string, color: string, px: number): void {
  const p = at(sheet, spot);
  words(sheet, { x: Math.min(Math.max(p.x, 30), sheet.size.x - 50), y: p.y }, text, color, px);
}

function words({ c }: Sheet, p: Point, text: string, color: string, px: number): void {
  c.font = `650 ${px}px system-ui, sans-serif`;
  c.textBaseline = "middle";
  c.strokeStyle = DARK;
  c.lineWidth = 4;
  c.strokeText(text, p.x, p.y);
  c.fillStyle = color;
  c.fillText(text, p.x, p.y);
}

/** What is not laid on the bone says so in the middle of the lower edge, where no letter stands. */
function warn({ c, size }: Sheet, text: string): void {
  c.globalAlpha = 1;
  c.font = "600 14px system-ui, sans-serif";
  const width = c.measureText(text).width + 16;
  const x = (size.x - width) / 2;
  const y = size.y - 74;
  c.fillStyle = "rgba(51, 37, 10, 0.9)";
  c.fillRect(x, y, width, 26);
  c.strokeStyle = "#ffb020";
  c.lineWidth = 1;
  c.strokeRect(x, y, width, 26);
  c.fillStyle = "#ffb020";
  c.textBaseline = "middle";
  c.fillText(text, x + 8, y + 14);
}
