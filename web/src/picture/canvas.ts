/** The 2-D canvas: the same table, looked up pixel by pixel into an ImageData. */

import type { Picture } from "../link/decode";
import type { Screen } from "./screen";
import { fillIdentity, fillTable, LEVELS, type DisplayWindow } from "./window";

export class CanvasScreen implements Screen {
  readonly kind = "canvas2d";
  private readonly table = new Uint8Array(LEVELS);
  /** The table as opaque grey RGBA words, so one write paints a pixel. */
  private readonly words = new Uint32Array(LEVELS);
  private tableKey = "";
  private image: ImageData | null = null;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly context: CanvasRenderingContext2D,
  ) {}

  paint(picture: Picture, window: DisplayWindow, invert: boolean): void {
    const { rows, columns, pixels } = picture;
    if (this.image?.width !== columns || this.image.height !== rows) {
      this.canvas.width = columns;
      this.canvas.height = rows;
      this.image = this.context.createImageData(columns, rows);
    }
    this.prepareTable(pixels instanceof Uint8Array, window, invert);
    const { words } = this;
    const out = new Uint32Array(this.image.data.buffer);
    for (let i = 0; i < out.length; i += 1) out[i] = words[pixels[i] ?? 0] ?? 0;
    this.context.putImageData(this.image, 0, 0);
  }

  readBack(): Uint8Array {
    const { width, height } = this.canvas;
    const { data } = this.context.getImageData(0, 0, width, height);
    const grey = new Uint8Array(width * height);
    for (let i = 0; i < grey.length; i += 1) grey[i] = data[i * 4] ?? 0;
    return grey;
  }

  dispose(): void {
    this.image = null;
  }

  private prepareTable(windowed: boolean, window: DisplayWindow, invert: boolean): void {
    const key = windowed ? `8 ${invert}` : `${window.center} ${window.width} ${invert}`;
    if (key === this.tableKey) return;
    if (windowed) fillIdentity(this.table, invert);
    else fillTable(this.table, window, invert);
    for (let i = 0; i < LEVELS; i += 1) this.words[i] = 0xff000000 | ((this.table[i] ?? 0) * 0x010101);
    this.tableKey = key;
  }
}
