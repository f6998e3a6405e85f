/** Draws the unrolled skin with its colour bar on a canvas: on the page, and larger for a file. */

import { cellsOfPixels, placeOf, sideNames, unroll, type Middle, type SkinDoses, type SkinShape, type Unrolled } from "./skinmap";
import { BANDS, bandColors, bandOf, scaleTop, tickText, ticks, UNDOSED, type Rgb } from "./skinmapscale";

const BAR_PX = 14;
const BAR_ROOM_PX = 66;
const LABEL_PX = 24;
/** The numbers of the colour bar stand apart. */
const LEAST_HEIGHT_PX = 152;
const TEXT = "#d7dde3";
const QUIET = "#9aa6b2";
const BACK: Rgb = [20, 24, 29];
const FONT = "14px system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";

/** The flat skin on a canvas of `width` × `height`, both px: as large as fits, one scale for both directions. */
export interface Layout {
  readonly flat: Unrolled;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly pxPerMm: number;
  readonly canvasWidth: number;
  readonly canvasHeight: number;
}

export function layOut(shape: SkinShape, middle: Middle, width: number, mostHeight: number): Layout {
  const flat = unroll(shape, middle);
  const room = { width: Math.max(40, width - BAR_ROOM_PX), height: Math.max(40, mostHeight - 2 * LABEL_PX) };
  const pxPerMm = Math.min(room.width / flat.width_mm, room.height / flat.height_mm);
  const seen = { width: flat.width_mm * pxPerMm, height: flat.height_mm * pxPerMm };
  return { flat, x: (room.width - seen.width) / 2, y: 2, ...seen, pxPerMm, canvasWidth: width, canvasHeight: Math.max(seen.height + 2 * LABEL_PX + 2, LEAST_HEIGHT_PX) };
}

/** Cell under a place of the canvas, px; null beside the skin. */
export function cellUnder(layout: Layout, cells: Int32Array, pixelsWide: number, x: number, y: number): number | null {
  const share = { x: (x - layout.x) / layout.width, y: (y - layout.y) / layout.height };
  if (!(share.x >= 0 && share.x < 1 && share.y >= 0 && share.y < 1)) return null;
  const high = cells.length / pixelsWide;
  const cell = cells[Math.floor(share.y * high) * pixelsWide + Math.floor(share.x * pixelsWide)] ?? -1;
  return cell < 0 ? null : cell;
}

/** The coloured skin alone, painted again only when the doses change. */
export class FlatSkin {
  readonly cells: Int32Array;
  readonly pixelsWide: number;
  private readonly picture: HTMLCanvasElement;
  private readonly image: ImageData;

  constructor(readonly layout: Layout, ratio: number) {
    this.pixelsWide = Math.max(1, Math.round(layout.width * ratio));
    const high = Math.max(1, Math.round(layout.height * ratio));
    this.cells = cellsOfPixels(layout.flat, this.pixelsWide, high);
    this.picture = document.createElement("canvas");
    this.picture.width = this.pixelsWide;
    this.picture.height = high;
    this.image = new ImageData(this.pixelsWide, high);
  }

  paint(doses: SkinDoses): void {
    const top = topOf(doses);
    const colors = bandColors();
    const ofCell = doses.dose_mgy.map((dose) => colors[bandOf(dose, top)] ?? UNDOSED);
    const out = this.image.data;
    for (let pixel = 0; pixel < this.cells.length; pixel += 1) {
      const cell = this.cells[pixel] ?? -1;
      const color = cell < 0 ? BACK : (ofCell[cell] ?? BACK);
      out[4 * pixel] = color[0];
      out[4 * pixel + 1] = color[1];
      out[4 * pixel + 2] = color[2];
      out[4 * pixel + 3] = 255;
    }
    this.picture.getContext("2d")?.putImageData(this.image, 0, 0);
  }

  /** Draw all of it; `chosen` is the cell that is read. The context counts px of the layout. */
  draw(context: CanvasRenderingContext2D, doses: SkinDoses, chosen: number | null): void {
    const { layout } = this;
    context.clearRect(0, 0, layout.canvasWidth, layout.canvasHeight);
    context.imageSmoothingEnabled = false;
    context.drawImage(this.picture, layout.x, layout.y, layout.width, layout.height);
    if (doses.peak_index !== null) cross(context, layout, doses.peak_index);
    if (chosen !== null) ring(context, layout, chosen);
    sides(context, layout);
    ruler(context, layout);
    bar(context, layout, topOf(doses));
  }
}

export const peakDose = (doses: SkinDoses): number => (doses.peak_index === null ? 0 : (doses.dose_mgy[doses.peak_index] ?? 0));
export const topOf = (doses: SkinDoses): number => scaleTop(peakDose(doses));

function spot(layout: Layout, cell: number): { x: number; y: number } {
  const at = placeOf(layout.flat, cell);
  return { x: layout.x + at.x * layout.pxPerMm, y: layout.y + at.y * layout.pxPerMm };
}

/** White on black, to be seen on every colour. */
function twice(context: CanvasRenderingContext2D, path: () => void): void {
  for (const [color, width] of [["#000", 4], ["#fff", 2]] as const) {
    context.strokeStyle = color;
    context.lineWidth = width;
    context.beginPath();
    path();
    context.stroke();
  }
}

function cross(context: CanvasRenderingContext2D, layout: Layout, cell: number): void {
  const { x, y } = spot(layout, cell);
  twice(context, () => {
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
      context.moveTo(x + 3 * dx, y + 3 * dy);
      context.lineTo(x + 11 * dx, y + 11 * dy);
    }
  });
}

function ring(context: CanvasRenderingContext2D, layout: Layout, cell: number): void {
  const { x, y } = spot(layout, cell);
  twice(context, () => context.arc(x, y, 6, 0, 2 * Math.PI));
}

function sides(context: CanvasRenderingContext2D, layout: Layout): void {
  context.font = FONT;
  context.textBaseline = "top";
  context.fillStyle = TEXT;
  const names = sideNames(layout.flat);
  names.forEach(({ name, x }, i) => {
    context.textAlign = i === 0 ? "left" : i === names.length - 1 ? "right" : "center";
    context.fillText(name, layout.x + x * layout.pxPerMm, layout.y + layout.height + 5);
  });
}

function ruler(context: CanvasRenderingContext2D, layout: Layout): void {
  const mm = 100;
  const y = layout.y + layout.height + LABEL_PX + 12;
  context.fillStyle = QUIET;
  context.fillRect(layout.x, y - 1, mm * layout.pxPerMm, 2);
  for (const end of [0, mm]) context.fillRect(layout.x + end * layout.pxPerMm - 1, y - 5, 2, 10);
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillText(`${mm} mm · head up`, layout.x + mm * layout.pxPerMm + 8, y);
}

function bar(context: CanvasRenderingContext2D, layout: Layout, top: number): void {
  const x = layout.canvasWidth - BAR_ROOM_PX + 12;
  const high = Math.min(layout.canvasHeight - 34, 260);
  const y = layout.y + 22;
  bandColors().forEach(([r, g, b], i) => {
    context.fillStyle = `rgb(${r} ${g} ${b})`;
    context.fillRect(x, y + high * (1 - (i + 1) / BANDS), BAR_PX, high / BANDS + 0.5);
  });
  context.font = FONT;
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillStyle = TEXT;
  for (const value of ticks(top)) context.fillText(tickText(value), x + BAR_PX + 5, y + high * (1 - value / top));
  context.fillText("mGy", x, y - 14);
}

/** The map as a picture for a file, with what it shows in words; `twoFold` pixels a px. */
export function filePicture(shape: SkinShape, doses: SkinDoses, middle: Middle, lines: readonly string[]): HTMLCanvasElement {
  const twoFold = 2;
  const layout = layOut(shape, middle, 760, 900);
  const flat = new FlatSkin(layout, twoFold);
  flat.paint(doses);
  const margin = 20;
  const line = 22;
  const canvas = document.createElement("canvas");
  const size = { width: layout.canvasWidth + 2 * margin, height: layout.canvasHeight + 2 * margin + lines.length * line };
  canvas.width = Math.round(size.width * twoFold);
  canvas.height = Math.round(size.height * twoFold);
  const context = canvas.getContext("2d");
  if (context === null) return canvas;
  context.scale(twoFold, twoFold);
  context.translate(margin, margin + lines.length * line);
  flat.draw(context, doses, null);
  context.setTransform(twoFold, 0, 0, twoFold, 0, 0);
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = `rgb(${BACK.join(" ")})`;
  context.fillRect(0, 0, size.width, size.height);
  context.globalCompositeOperation = "source-over";
  context.font = FONT;
  context.fillStyle = TEXT;
  context.textBaseline = "top";
  context.textAlign = "left";
  lines.forEach((text, i) => context.fillText(text, margin, margin / 2 + i * line));
  return canvas;
}
