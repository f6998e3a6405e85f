/** With `?probe` in the address: what tests and benchmarks read. Nothing of the page uses it. */

import type { Channel } from "../link/decode";
import type { PaintRecord } from "./latency";
import { latency, painters } from "./room";
import { roomScene } from "./roomscene";

export interface Probe {
  /** Greys as painted, read back from the canvas, row by row. */
  readBack(channel: Channel): number[];
  /** Pixel values of the picture shown. */
  pixels(channel: Channel): number[];
  window(channel: Channel): { center: number; width: number } | null;
  shape(channel: Channel): [number, number];
  renderer(channel: Channel): string | null;
  kind(channel: Channel): string | null;
  index(channel: Channel): number;
  paints(): PaintRecord[];
  /** Whether the room view stands and looks from near; where the needle's hub is drawn on it, px. */
  nearRoom(): boolean;
  hub(): { x: number; y: number } | null;
  /** Where the skin marker is drawn on it, px. */
  marker(): { x: number; y: number } | null;
}

declare global {
  interface Window {
    fluoroscopeProbe?: Probe;
  }
}

export function attachProbe(): void {
  if (!new URLSearchParams(location.search).has("probe")) return;
  window.fluoroscopeProbe = {
    readBack: (channel) => Array.from(painters[channel].readBack()),
    pixels: (channel) => Array.from(painters[channel].picture?.pixels ?? []),
    window: (channel) => painters[channel].window,
    shape: (channel) => [painters[channel].picture?.rows ?? 0, painters[channel].picture?.columns ?? 0],
    renderer: (channel) => painters[channel].renderer,
    kind: (channel) => painters[channel].picture?.kind ?? null,
    index: (channel) => painters[channel].picture?.index ?? -1,
    paints: () => latency.take(),
    nearRoom: () => roomScene.current?.isNear === true,
    hub: () => roomScene.current?.hubSeen() ?? null,
    marker: () => roomScene.current?.markerSeen() ?? null,
  };
}
