/** Small pictures for the filmstrip, taken from what a monitor shows; the page keeps them only while it is open. */

import { effect, signal } from "@preact/signals";

import type { Channel } from "../link/decode";
import { painters } from "./room";
import { monitors, shownStored } from "./state";

export const THUMBNAIL_PX = 60;
export const thumbnails = signal<ReadonlyMap<string, ImageData>>(new Map());

export function keepThumbnail(id: string, channel: Channel): void {
  const { picture } = painters[channel];
  if (picture === null || picture.rows === 0 || thumbnails.peek().has(id)) return;
  const grey = painters[channel].readBack();
  if (grey.length !== picture.rows * picture.columns) return;
  const image = new ImageData(THUMBNAIL_PX, THUMBNAIL_PX);
  for (let row = 0; row < THUMBNAIL_PX; row += 1) {
    const from = Math.floor(((row + 0.5) * picture.rows) / THUMBNAIL_PX) * picture.columns;
    for (let column = 0; column < THUMBNAIL_PX; column += 1) {
      const value = grey[from + Math.floor(((column + 0.5) * picture.columns) / THUMBNAIL_PX)] ?? 0;
      const at = (row * THUMBNAIL_PX + column) * 4;
      image.data.fill(value, at, at + 3);
      image.data[at + 3] = 255;
    }
  }
  thumbnails.value = new Map(thumbnails.peek()).set(id, image);
}

/** A stored image brought back on REFERENCE gives its thumbnail too (a page that was opened later has none). */
export function watchReference(): void {
  effect(() => {
    const { painted } = monitors.reference.value;
    const id = shownStored.value;
    if (painted?.kind === "stored" && id !== null) requestAnimationFrame(() => keepThumbnail(id, "reference"));
  });
}
