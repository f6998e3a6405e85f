/** How long pictures take from the server to the screen, for tests and for the curious (`?probe`). */

import type { Channel, Picture } from "../link/decode";

export interface PaintRecord {
  readonly channel: Channel;
  readonly seq: number;
  readonly rows: number;
  /** From `sent_ns` to painted; the clocks are joined by the fastest message seen, so this is at most that message's travel too small. */
  readonly sentToPaintedMs: number;
  readonly arrivedToPaintedMs: number;
}

const KEPT = 4000;

export class Latency {
  /** Smallest (browser − server) clock difference seen, ms. */
  private offsetMs = Infinity;
  private readonly records: (Omit<PaintRecord, "sentToPaintedMs"> & { readonly rawMs: number })[] = [];

  clock(serverNs: number, nowMs: number): void {
    if (serverNs > 0) this.offsetMs = Math.min(this.offsetMs, nowMs - serverNs / 1e6);
  }

  painted(channel: Channel, picture: Picture, atMs: number): void {
    const sentMs = Number(picture.sentNs) / 1e6;
    this.offsetMs = Math.min(this.offsetMs, picture.arrivedMs - sentMs);
    this.records.push({
      channel, seq: picture.seq, rows: picture.rows, rawMs: atMs - sentMs, arrivedToPaintedMs: atMs - picture.arrivedMs,
    });
    if (this.records.length > KEPT) this.records.splice(0, KEPT / 2);
  }

  take(): PaintRecord[] {
    const taken = this.records.map(({ rawMs, ...record }) => ({ ...record, sentToPaintedMs: rawMs - this.offsetMs }));
    this.records.length = 0;
    return taken;
  }
}
