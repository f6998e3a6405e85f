/** What paints pictures: WebGL2 where the browser has it, else a 2-D canvas; both through the same table. */

import type { Picture } from "../link/decode";
import { CanvasScreen } from "./canvas";
import { WebGLScreen } from "./webgl";
import type { DisplayWindow } from "./window";

export interface Screen {
  readonly kind: "webgl2" | "canvas2d";
  /** Paint `picture`. */
  paint(picture: Picture, window: DisplayWindow, invert: boolean): void;
  /** Grey of every painted pixel, row by row from the top: for tests and for saving. */
  readBack(): Uint8Array;
  dispose(): void;
}

export function createScreen(canvas: HTMLCanvasElement, wanted: string | null): Screen {
  if (wanted !== "canvas") {
    const gl = canvas.getContext("webgl2", {
      alpha: false, antialias: false, depth: false, stencil: false,
    });
    if (gl !== null) return new WebGLScreen(canvas, gl);
  }
  const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
  if (context === null) throw new Error("this browser can paint neither WebGL2 nor a 2-D canvas");
  return new CanvasScreen(canvas, context);
}
