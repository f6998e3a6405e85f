/** One monitor: takes pictures as they come, paints the newest at the next frame of the browser, then gives the credit back. */

import type { Picture } from "../link/decode";
import { createScreen, type Screen } from "./screen";
import type { DisplayWindow } from "./window";

export interface PainterEvents {
  ack(seq: number): void;
  painted(picture: Picture, atMs: number): void;
}

export class Painter {
  private screen: Screen | null = null;
  private waiting: Picture | null = null;
  private last: Picture | null = null;
  private scheduled = false;
  private userWindow: DisplayWindow | null = null;
  private inverted = false;

  constructor(private readonly events: PainterEvents) {}

  get renderer(): Screen["kind"] | null {
    return this.screen?.kind ?? null;
  }

  get picture(): Picture | null {
    return this.last;
  }

  attach(canvas: HTMLCanvasElement, wanted: string | null): void {
    this.screen = createScreen(canvas, wanted);
    this.repaint();
  }

  detach(): void {
    this.screen?.dispose();
    this.screen = null;
  }

  show(picture: Picture): void {
    // A picture overtaken by a newer one is not painted; its credit goes back at once.
    if (this.waiting !== null) this.events.ack(this.waiting.seq);
    this.waiting = picture;
    this.schedule();
  }

  setDisplay(window: DisplayWindow | null, invert: boolean): void {
    this.userWindow = window;
    this.inverted = invert;
    this.repaint();
  }

  /** The window in use. */
  get window(): DisplayWindow | null {
    if (this.userWindow !== null) return this.userWindow;
    return this.last === null ? null : { center: this.last.windowCenter, width: this.last.windowWidth };
  }

  /** Greys of what the monitor shows now, painted again first if that is still to come. */
  readBack(): Uint8Array {
    const window = this.window;
    if (this.last !== null && window !== null && this.last.rows > 0) this.screen?.paint(this.last, window, this.inverted);
    return this.screen?.readBack() ?? new Uint8Array(0);
  }

  private repaint(): void {
    if (this.last !== null || this.waiting !== null) this.schedule();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => this.paint());
  }

  private paint(): void {
    this.scheduled = false;
    const fresh = this.waiting;
    this.waiting = null;
    if (fresh !== null) this.last = fresh;
    const picture = this.last;
    const window = this.window;
    if (picture === null || window === null || this.screen === null) return;
    if (picture.rows > 0 && picture.columns > 0) this.screen.paint(picture, window, this.inverted);
    if (fresh === null) return;
    // After this task the browser has the frame: only then is it painted.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      this.events.ack(fresh.seq);
      this.events.painted(fresh, performance.now());
    };
    port2.postMessage(null);
  }
}
