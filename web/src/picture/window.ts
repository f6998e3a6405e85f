/**
 * The display window: DICOM's linear VOI function (PS3.3 C.11.2.1.2.1) to 0..255, rounded half up.
 *
 * The table is computed here once in double precision and looked up by both renderers, so what is painted equals
 * `fluoroscope.monitor.window` value for value, whatever the graphics processor does with its floats.
 */

export interface DisplayWindow {
  readonly center: number;
  readonly width: number;
}

export const LEVELS = 65536;

/** Return the grey of pixel value `x`, 0..255. */
export function windowedGrey(x: number, window: DisplayWindow, invert: boolean): number {
  const { center, width } = window;
  let grey: number;
  if (x <= center - 0.5 - (width - 1) / 2) grey = 0;
  else if (x > center - 0.5 + (width - 1) / 2) grey = 255;
  else grey = Math.floor(((x - (center - 0.5)) / (width - 1) + 0.5) * 255 + 0.5);
  return invert ? 255 - grey : grey;
}

/** Fill a table of 65536 greys. */
export function fillTable(table: Uint8Array, window: DisplayWindow, invert: boolean): void {
  for (let x = 0; x < LEVELS; x += 1) table[x] = windowedGrey(x, window, invert);
}

/** Fill a table for pictures the server has windowed to 8 bits already. */
export function fillIdentity(table: Uint8Array, invert: boolean): void {
  for (let x = 0; x < LEVELS; x += 1) {
    const grey = Math.min(x, 255);
    table[x] = invert ? 255 - grey : grey;
  }
}

/** Window after a drag of (dx, dy) in fractions of the picture: right widens, down lowers the level (brighter). */
export function draggedWindow(start: DisplayWindow, dx: number, dy: number): DisplayWindow {
  const width = Math.min(LEVELS, Math.max(2, start.width * Math.exp(dx * 2)));
  const center = Math.min(LEVELS - 1, Math.max(0, start.center - dy * Math.max(start.width, 256)));
  return { center, width };
}
