/** Text messages and binary pictures of the server, checked before anything uses them. */

import type { ServerMessage } from "./types";

export class ProtocolError extends Error {}

const STATUS_GROUPS = [
  "carm", "detector", "technique", "chain", "dose", "pulses", "replay",
] as const;
/** A recorded clip has none of these. */
const STATUS_MAYBE = ["table", "collimation", "markers", "room", "patient", "exam"] as const;
const STATUS_LISTS = ["patients", "stored", "runs", "messages"] as const;
const STATES = new Set(["IDLE", "READY", "EXPOSING", "HOLD", "FAULT"]);

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Return the message of `text`, or throw a ProtocolError that names what is wrong. */
export function decodeMessage(text: string): ServerMessage {
  const message: unknown = JSON.parse(text);
  if (!isObject(message)) throw new ProtocolError("a message of the server is not an object");
  switch (message.type) {
    case "hello":
      if (typeof message.operator !== "boolean") throw new ProtocolError("hello without operator");
      break;
    case "reply":
      if (typeof message.id !== "number" || typeof message.ok !== "boolean") {
        throw new ProtocolError("reply without id or ok");
      }
      break;
    case "error":
      if (typeof message.error !== "string") throw new ProtocolError("error without words");
      break;
    case "status":
      if (typeof message.state !== "string" || !STATES.has(message.state)) {
        throw new ProtocolError(`status with unknown state ${String(message.state)}`);
      }
      for (const key of STATUS_GROUPS) if (!isObject(message[key])) throw new ProtocolError(`status without ${key}`);
      for (const key of STATUS_MAYBE) {
        if (message[key] !== null && !isObject(message[key])) throw new ProtocolError(`status without ${key}`);
      }
      for (const key of STATUS_LISTS) if (!Array.isArray(message[key])) throw new ProtocolError(`status without ${key}`);
      break;
    default:
      throw new ProtocolError(`unknown message ${String(message.type)}`);
  }
  return message as unknown as ServerMessage;
}

export type Channel = "live" | "reference";
export type PictureKind = "live" | "hold" | "stored";

export interface Picture {
  readonly seq: number;
  readonly channel: Channel;
  readonly kind: PictureKind;
  readonly rows: number;
  readonly columns: number;
  /** 16-bit pixel values, or 8-bit already windowed by the server. */
  readonly pixels: Uint16Array | Uint8Array;
  readonly binning: number;
  readonly index: number;
  readonly acquiredNs: bigint;
  readonly sentNs: bigint;
  readonly windowCenter: number;
  readonly windowWidth: number;
  /** At the detector, of these pixels; null when unknown. */
  readonly pitchMm: number | null;
  readonly eventNumber: number;
  /** Short words of the server, such as "run 2, 14:03:11". */
  readonly label: string;
  /** `performance.now()` when it came. */
  readonly arrivedMs: number;
}

export const HEADER_BYTES = 80;
const MAGIC = 0x4f554c46; // "FLUO", little-endian
const KINDS: readonly PictureKind[] = ["live", "hold", "stored"];

/** Return the picture of a binary message (0 × 0 clears the monitor); its pixels are a view into `buffer`. */
export function decodePicture(buffer: ArrayBuffer, arrivedMs: number): Picture {
  if (buffer.byteLength < HEADER_BYTES) throw new ProtocolError("a picture is shorter than its header");
  const view = new DataView(buffer);
  if (view.getUint32(0, true) !== MAGIC) throw new ProtocolError("a picture does not begin with FLUO");
  const version = view.getUint16(4, true);
  if (version !== 1) throw new ProtocolError(`picture protocol ${version}, this page knows 1: reload the page`);
  const start = view.getUint16(6, true);
  const bytes = view.getUint8(14);
  const rows = view.getUint16(16, true);
  const columns = view.getUint16(18, true);
  const kind = KINDS[view.getUint8(13)];
  const channel = view.getUint8(12);
  if (kind === undefined || channel > 1) throw new ProtocolError("a picture of an unknown channel or kind");
  if (bytes !== 1 && bytes !== 2) throw new ProtocolError(`a picture of ${bytes} bytes a pixel`);
  if (start < HEADER_BYTES || buffer.byteLength !== start + rows * columns * bytes) {
    throw new ProtocolError(`a picture of ${rows} × ${columns} has ${buffer.byteLength - start} bytes of pixels`);
  }
  const pitch = view.getFloat32(48, true);
  return {
    seq: view.getUint32(8, true),
    channel: channel === 0 ? "live" : "reference",
    kind,
    rows,
    columns,
    pixels: bytes === 2 ? new Uint16Array(buffer, start, rows * columns) : new Uint8Array(buffer, start, rows * columns),
    binning: view.getUint8(15),
    index: view.getUint32(20, true),
    acquiredNs: view.getBigUint64(24, true),
    sentNs: view.getBigUint64(32, true),
    windowCenter: view.getFloat32(40, true),
    windowWidth: view.getFloat32(44, true),
    pitchMm: pitch > 0 ? pitch : null,
    eventNumber: view.getUint32(52, true),
    label: new TextDecoder().decode(new Uint8Array(buffer, 56, 24)).split("\0", 1)[0] ?? "",
    arrivedMs,
  };
}

/** Age of a picture at `nowMs` (performance clock): on the server until sent, and since it came. */
export function ageMs(picture: Picture, nowMs: number): number {
  return Number(picture.sentNs - picture.acquiredNs) / 1e6 + (nowMs - picture.arrivedMs);
}
