/** The one connection to the room: commands with replies, pictures, and coming back after a loss. */

import type { DisplayWindow } from "../picture/window";
import { decodeMessage, decodePicture, type Channel, type Picture } from "./decode";
import type { CommandArgs, Hello, Reply, Status } from "./types";

export type LinkState = "connecting" | "open" | "lost";

export interface LinkEvents {
  onState(state: LinkState): void;
  onHello(hello: Hello): void;
  onStatus(status: Status): void;
  onPicture(picture: Picture): void;
  onTrouble(text: string): void;
}

const RETRY_MS = [250, 500, 1000, 2000] as const;

export class Link {
  private socket: WebSocket | null = null;
  private nextId = 1;
  private attempts = 0;
  private closed = false;
  private readonly waiting = new Map<number, (reply: Reply) => void>();

  constructor(
    private readonly url: string,
    private readonly events: LinkEvents,
  ) {}

  get open(): boolean {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  connect(): void {
    this.events.onState(this.attempts === 0 ? "connecting" : "lost");
    const socket = new WebSocket(this.url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      this.attempts = 0;
      this.events.onState("open");
    };
    socket.onmessage = (event: MessageEvent<unknown>) => {
      this.receive(event.data);
    };
    socket.onclose = () => {
      this.lost();
    };
  }

  close(): void {
    this.closed = true;
    this.socket?.close();
  }

  /** Carry out a command; the reply says ok false with a sentence when it is refused or the connection is gone. */
  command(name: string, args: CommandArgs = {}): Promise<Reply> {
    const id = this.nextId++;
    return new Promise((resolve) => {
      if (!this.send({ type: "command", id, name, args })) {
        resolve({ type: "reply", id, ok: false, error: "no connection to the room", result: {} });
        return;
      }
      this.waiting.set(id, resolve);
    });
  }

  ack(seq: number): void {
    this.send({ type: "ack", seq });
  }

  heartbeat(): void {
    this.send({ type: "heartbeat" });
  }

  /** The display window of a monitor, for pictures the server windows itself. */
  window(channel: Channel, window: DisplayWindow): void {
    this.send({ type: "window", channel: channel === "live" ? 0 : 1, center: window.center, width: Math.max(1, window.width), invert: false });
  }

  claim(): void {
    this.send({ type: "claim" });
  }

  private send(message: object): boolean {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  private receive(data: unknown): void {
    try {
      if (data instanceof ArrayBuffer) {
        this.events.onPicture(decodePicture(data, performance.now()));
        return;
      }
      const message = decodeMessage(String(data));
      if (message.type === "hello") this.events.onHello(message);
      else if (message.type === "status") this.events.onStatus(message);
      else if (message.type === "error") this.events.onTrouble(message.error);
      else {
        this.waiting.get(message.id)?.(message);
        this.waiting.delete(message.id);
      }
    } catch (error) {
      this.events.onTrouble(error instanceof Error ? error.message : String(error));
    }
  }

  private lost(): void {
    for (const [id, resolve] of this.waiting) {
      resolve({ type: "reply", id, ok: false, error: "the connection was lost", result: {} });
    }
    this.waiting.clear();
    if (this.closed) return;
    this.events.onState("lost");
    const wait = RETRY_MS[Math.min(this.attempts, RETRY_MS.length - 1)] ?? 2000;
    this.attempts += 1;
    setTimeout(() => {
      if (!this.closed) this.connect();
    }, wait);
  }
}
