/** Draws the scatter around the table from above. */

import type { RoomGeometry, Table } from "../link/types";
import {
  BELOW, detectorOutline, fromPlan, leftOf, levelSpot, LEVELS, onPlan, onTable, rateAt, rateText, STAFF_COLORS, staffBand, upright, type Plan, type Spot, type StaffDose,
} from "./staffmap";

const FONT = "14px system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";
const BOLD = `600 ${FONT}`;
const BACK = "#14181d";
const DOT_PX = 10;
const HALF_TABLE_MM = 250;
/** As the room view draws the table: about its zero. */
const TABLE_MM = [-1300, 1000] as const;
const DETECTOR_HALF_MM = 200;

export interface Stands {
  readonly room: RoomGeometry;
  readonly table: Table;
}

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export function drawStaff(context: CanvasRenderingContext2D, ratio: number, plan: Plan, staff: StaffDose, stands: Stands, chosen: number | null): void {
  context.setTransform(1, 0, 0, 1, 0, 0);
  bands(context, ratio, plan, staff);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  furniture(context, plan, stands);
  const taken: Box[] = staff.positions.map((position) => around(onPlan(plan, position.x_mm, position.z_mm)));
  beam(context, plan, stands.room, taken);
  people(context, plan, staff, chosen, taken);
  numbers(context, plan, staff, taken);
  rim(context, plan, stands.room);
}

/** Bands with a thin dark line between them, by pixel. */
function bands(context: CanvasRenderingContext2D, ratio: number, plan: Plan, staff: StaffDose): void {
  const width = Math.max(1, Math.round(plan.width * ratio));
  const height = Math.max(1, Math.round(plan.height * ratio));
  const found = new Int8Array(width * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const { x_mm, z_mm } = fromPlan(plan, (x + 0.5) / ratio, (y + 0.5) / ratio);
      const rate = rateAt(staff, x_mm, z_mm);
      found[y * width + x] = rate === null ? -2 : staffBand(rate);
    }
  }
  const image = new ImageData(width, height);
  for (let i = 0; i < found.length; i += 1) {
    const band = found[i] ?? -2;
    const right = i % width < width - 1 ? (found[i + 1] ?? band) : band;
    const below = found[i + width] ?? band;
    // Half as bright as the colours of the scale: what is drawn over them has to be read.
    const color = band === -2 ? [20, 24, 29] : band === -1 ? BELOW : (STAFF_COLORS[band] ?? BELOW).map((part) => 0.7 * part + 6);
    const edge = band !== right || band !== below ? 0.45 : 1;
    color.forEach((part, channel) => (image.data[4 * i + channel] = part * edge));
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

function path(context: CanvasRenderingContext2D, plan: Plan, corners: readonly (readonly [number, number])[]): void {
  context.beginPath();
  corners.forEach(([x, z], i) => {
    const at = onPlan(plan, x, z);
    if (i === 0) context.moveTo(at.x, at.y);
    else context.lineTo(at.x, at.y);
  });
  context.closePath();
}

const oval = (x: number, z: number, halfX: number, halfZ: number): (readonly [number, number])[] =>
  Array.from({ length: 24 }, (_, i) => [x + halfX * Math.cos((i * Math.PI) / 12), z + halfZ * Math.sin((i * Math.PI) / 12)] as const);

function furniture(context: CanvasRenderingContext2D, plan: Plan, { room, table }: Stands): void {
  const [feet, head] = TABLE_MM;
  path(context, plan, onTable(table, [[-HALF_TABLE_MM, feet], [HALF_TABLE_MM, feet], [HALF_TABLE_MM, head], [-HALF_TABLE_MM, head]]));
  context.fillStyle = "rgb(138 151 163 / 0.35)";
  context.fill();
  context.strokeStyle = "#c3ccd5";
  context.lineWidth = 1.5;
  context.stroke();
  const end = room.patient_position.startsWith("FF") ? -1 : 1;
  for (const part of [oval(0, end * 90, 165, 330), oval(0, end * 520, 85, 110), oval(-75, end * -620, 65, 420), oval(75, end * -620, 65, 420)]) {
    path(context, plan, onTable(table, part));
    context.fillStyle = "rgb(181 143 122 / 0.75)";
    context.fill();
  }
}

function beam(context: CanvasRenderingContext2D, plan: Plan, room: RoomGeometry, taken: Box[]): void {
  const tube = onPlan(plan, room.source_mm[0], room.source_mm[2]);
  const detector = onPlan(plan, room.detector_center_mm[0], room.detector_center_mm[2]);
  const corners = detectorOutline(room, DETECTOR_HALF_MM);
  const under = room.source_mm[1] > room.detector_center_mm[1];
  const drawTube = (): void => {
    context.beginPath();
    context.arc(tube.x, tube.y, 7, 0, 2 * Math.PI);
    context.fillStyle = "#ffd21f";
    context.fill();
    context.strokeStyle = "#000";
    context.lineWidth = 2;
    context.stroke();
  };
  context.strokeStyle = "#ffd21f";
  context.lineWidth = 1.5;
  for (const [x, z] of corners) {
    const at = onPlan(plan, x, z);
    context.beginPath();
    context.moveTo(tube.x, tube.y);
    context.lineTo(at.x, at.y);
    context.stroke();
  }
  if (!under) drawTube();
  path(context, plan, corners);
  context.fillStyle = "rgb(76 194 255 / 0.25)";
  context.fill();
  context.strokeStyle = "#4cc2ff";
  context.lineWidth = 3;
  context.stroke();
  if (under) drawTube();
  // Upright, one word for both: what is below the table cannot be seen from above.
  const words: readonly (readonly [string, Spot, Spot])[] = upright(room)
    ? [[under ? "tube below, detector above" : "tube above, detector below", tube, { x: 0, y: 1 }]]
    : [["tube", tube, away(tube, detector)], ["detector", detector, away(detector, tube)]];
  context.font = FONT;
  for (const [text, at, way] of words) {
    const width = context.measureText(text).width;
    const places = [way, { x: 0, y: -1 }, { x: 0, y: 1 }, { x: 0, y: -1.6 }, { x: 0, y: 1.6 }].map(({ x, y }) => ({
      x: Math.min(plan.width - width - 4, Math.max(4, at.x + x * (width / 2 + 14) - width / 2)), y: at.y + 30 * y,
    }));
    const free = places.find((place) => fits(plan, { x: place.x, y: place.y - 9, width, height: 18 }, taken));
    label(context, text, free ?? places[2] ?? at, taken);
  }
}

/** Unit direction from `b` to `a`. */
function away(a: Spot, b: Spot): Spot {
  const length = Math.hypot(a.x - b.x, a.y - b.y) || 1;
  return { x: (a.x - b.x) / length, y: (a.y - b.y) / length };
}

function people(context: CanvasRenderingContext2D, plan: Plan, staff: StaffDose, chosen: number | null, taken: Box[]): void {
  staff.positions.forEach((position, i) => {
    const at = onPlan(plan, position.x_mm, position.z_mm);
    const [x, y] = [Math.min(plan.width - DOT_PX, Math.max(DOT_PX, at.x)), Math.min(plan.height - DOT_PX, Math.max(DOT_PX, at.y))];
    context.beginPath();
    context.arc(x, y, DOT_PX, 0, 2 * Math.PI);
    context.fillStyle = i === chosen ? "#4cc2ff" : "#f2f5f7";
    context.fill();
    context.strokeStyle = "#000";
    context.lineWidth = 2;
    context.stroke();
    context.font = BOLD;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = "#000";
    context.fillText(String(i + 1), x, y + 0.5);
    const text = rateText(position.usv_per_h);
    const width = context.measureText(text).width;
    const places = [{ x: x + DOT_PX + 4, y }, { x: x - DOT_PX - 4 - width, y }, { x: x - width / 2, y: y + DOT_PX + 10 }, { x: x - width / 2, y: y - DOT_PX - 10 }];
    const free = places.find((place) => fits(plan, { x: place.x, y: place.y - 9, width, height: 18 }, taken));
    if (free !== undefined) label(context, text, free, taken, BOLD);
  });
}

/** The edge of each band is named where nothing else stands. */
function numbers(context: CanvasRenderingContext2D, plan: Plan, staff: StaffDose, taken: Box[]): void {
  context.font = FONT;
  for (const level of LEVELS) {
    const text = `${level}`;
    const width = context.measureText(text).width;
    for (let turn = 0; turn < 16; turn += 1) {
      const found = levelSpot(staff, level, -0.9 + (turn * Math.PI) / 8, { x_mm: 0, z_mm: 0 });
      if (found === null) continue;
      const at = onPlan(plan, found.x_mm, found.z_mm);
      const box = { x: at.x - width / 2, y: at.y - 9, width, height: 18 };
      if (!fits(plan, box, taken)) continue;
      label(context, text, { x: box.x, y: at.y }, taken);
      break;
    }
  }
}

/** Which way is what: the table's sides are those of a patient on the back, head first; the one who lies there may be turned. */
function rim(context: CanvasRenderingContext2D, plan: Plan, room: RoomGeometry): void {
  const left = leftOf(room.patient_position);
  const sides = [["table's right", left === null ? "" : `patient's ${left === 1 ? "right" : "left"}`], ["table's left", left === null ? "" : `patient's ${left === 1 ? "left" : "right"}`]] as const;
  context.font = FONT;
  sides.forEach((words, side) => words.forEach((text, line) => {
    const x = side === 0 ? 4 : plan.width - context.measureText(text).width - 4;
    label(context, text, { x, y: 12 + 18 * line }, []);
  }));
  const metre = 1000 * plan.pxPerMm;
  const y = plan.height - 10;
  label(context, "1 m", { x: 8 + metre + 8, y }, []);
  context.fillStyle = "#f2f5f7";
  context.fillRect(8, y - 1, metre, 2);
  for (const end of [0, metre]) context.fillRect(8 + end - 1, y - 5, 2, 10);
}

function label(context: CanvasRenderingContext2D, text: string, at: Spot, taken: Box[], font = FONT): void {
  context.font = font;
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.lineJoin = "round";
  context.strokeStyle = BACK;
  context.lineWidth = 4;
  context.strokeText(text, at.x, at.y);
  context.fillStyle = "#f2f5f7";
  context.fillText(text, at.x, at.y);
  taken.push({ x: at.x, y: at.y - 9, width: context.measureText(text).width, height: 18 });
}

const around = (at: Spot): Box => ({ x: at.x - DOT_PX, y: at.y - DOT_PX, width: 2 * DOT_PX, height: 2 * DOT_PX });

/** Free, on the plan, and clear of the words at its rim. */
function fits(plan: Plan, box: Box, taken: readonly Box[]): boolean {
  if (box.x < 2 || box.x + box.width > plan.width - 2 || box.y < 44 || box.y + box.height > plan.height - 24) return false;
  return taken.every((other) => box.x >= other.x + other.width || other.x >= box.x + box.width || box.y >= other.y + other.height || other.y >= box.y + box.height);
}
