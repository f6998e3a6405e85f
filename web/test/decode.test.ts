import { describe, expect, it } from "vitest";

import { ageMs, decodeMessage, decodePicture, HEADER_BYTES, ProtocolError } from "../src/link/decode";

function message(rows: number, columns: number, bytes: number, change?: (view: DataView) => void): ArrayBuffer {
  const buffer = new ArrayBuffer(HEADER_BYTES + rows * columns * bytes);
  const view = new DataView(buffer);
  new Uint8Array(buffer).set(new TextEncoder().encode("FLUO"), 0);
  view.setUint16(4, 1, true);
  view.setUint16(6, HEADER_BYTES, true);
  view.setUint32(8, 4_000_000_001, true);
  view.setUint8(12, 1);
  view.setUint8(13, 2);
  view.setUint8(14, bytes);
  view.setUint8(15, 2);
  view.setUint16(16, rows, true);
  view.setUint16(18, columns, true);
  view.setUint32(20, 17, true);
  view.setBigUint64(24, 5_000_000_000n, true);
  view.setBigUint64(32, 5_012_500_000n, true);
  view.setFloat32(40, 2000.5, true);
  view.setFloat32(44, 3000, true);
  view.setFloat32(48, 0.25, true);
  view.setUint32(52, 3, true);
  new Uint8Array(buffer).set(new TextEncoder().encode("run 3, 14:03:11"), 56);
  if (bytes === 2) for (let i = 0; i < rows * columns; i += 1) view.setUint16(HEADER_BYTES + 2 * i, i * 257, true);
  change?.(view);
  return buffer;
}

describe("decodePicture", () => {
  it("reads every field at its offset", () => {
    const picture = decodePicture(message(2, 3, 2), 100);
    expect(picture).toMatchObject({
      seq: 4_000_000_001, channel: "reference", kind: "stored", rows: 2, columns: 3, binning: 2, index: 17,
      acquiredNs: 5_000_000_000n, sentNs: 5_012_500_000n, windowCenter: 2000.5, windowWidth: 3000, pitchMm: 0.25, eventNumber: 3,
      label: "run 3, 14:03:11",
    });
    expect(Array.from(picture.pixels)).toEqual([0, 257, 514, 771, 1028, 1285]);
    expect(ageMs(picture, 130)).toBeCloseTo(12.5 + 30, 9);
  });

  it("takes 8-bit pixels, an unknown pitch, and 0 × 0 for a cleared monitor", () => {
    expect(decodePicture(message(2, 2, 1), 0).pixels).toBeInstanceOf(Uint8Array);
    expect(decodePicture(message(1, 1, 2, (v) => v.setFloat32(48, 0, true)), 0).pitchMm).toBeNull();
    expect(decodePicture(message(0, 0, 2), 0).pixels).toHaveLength(0);
  });

  it.each([
    ["short", (): ArrayBuffer => new ArrayBuffer(40)],
    ["wrong magic", () => message(1, 1, 2, (v) => v.setUint8(0, 0))],
    ["other version", () => message(1, 1, 2, (v) => v.setUint16(4, 2, true))],
    ["missing pixels", () => message(2, 2, 2, (v) => v.setUint16(16, 3, true))],
    ["unknown kind", () => message(1, 1, 2, (v) => v.setUint8(13, 9))],
    ["3 bytes a pixel", () => message(1, 1, 2, (v) => v.setUint8(14, 3))],
  ])("refuses a picture that is %s", (_, make) => {
    expect(() => decodePicture(make(), 0)).toThrow(ProtocolError);
  });
});

describe("decodeMessage", () => {
  it("takes hello and reply", () => {
    expect(decodeMessage('{"type":"hello","version":"0.1","operator":true,"client":1}')).toMatchObject({ operator: true });
    expect(decodeMessage('{"type":"reply","id":7,"ok":false,"error":"no","result":{}}')).toMatchObject({ id: 7, error: "no" });
  });

  it.each(["[]", '{"type":"else"}', '{"type":"status","state":"PANIC"}', '{"type":"status","state":"READY"}', '{"type":"reply","ok":true}'])(
    "refuses %s", (text) => expect(() => decodeMessage(text)).toThrow(ProtocolError),
  );
});

describe("a status", () => {
  const group = { carm: {}, detector: {}, technique: {}, chain: {}, dose: {}, pulses: {}, replay: {} };
  const lists = { patients: [], stored: [], runs: [], messages: [] };
  const clip = { type: "status", state: "HOLD", table: null, collimation: null, markers: null, room: null, patient: null, exam: null };

  it("of a recorded clip has no table, blades, markers or room", () => {
    expect(decodeMessage(JSON.stringify({ ...group, ...lists, ...clip }))).toMatchObject({ state: "HOLD", room: null });
  });

  it("without them altogether is refused", () => {
    expect(() => decodeMessage(JSON.stringify({ ...group, ...lists, ...clip, room: undefined }))).toThrow(ProtocolError);
  });
});
