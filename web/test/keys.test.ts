import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { belongsToFocus, intention, type KeyPress } from "../src/room/keys";
import { joined, limitReached, Movement, NUDGE_MS, summed, throttled } from "../src/room/movement";
import { HEARTBEAT_MS, Pedal, type PedalPorts } from "../src/room/pedal";

const press = (key: string, more: Partial<KeyPress> = {}): KeyPress => ({
  code: key === " " ? "Space" : key, key, shift: false, ctrl: false, alt: false, meta: false, ...more,
});

describe("intention", () => {
  it("knows the keys of the room", () => {
    expect(intention(press(" "), false)).toEqual({ do: "pedal" });
    expect(intention(press("Escape"), false)).toEqual({ do: "stop" });
    expect(intention(press("ArrowLeft"), false)).toEqual({ do: "move", axis: "orbital", sign: -1, fine: false });
    expect(intention(press("ArrowUp", { shift: true }), false)).toEqual({ do: "move", axis: "angulation", sign: 1, fine: true });
    expect(intention(press("ArrowUp"), true)).toEqual({ do: "blades", pair: "upper_lower", sign: 1 });
    expect(intention(press("l"), false)).toEqual({ do: "view", view: "lateral" });
    expect(intention(press("?", { shift: true }), false)).toEqual({ do: "help" });
    expect(intention(press("Q", { shift: true }), false)).toMatchObject({ axis: "table_longitudinal", fine: true });
  });

  it("gives arrows and PAGE keys to the needle while N is held", () => {
    expect(intention(press("ArrowLeft"), false, true)).toEqual({ do: "move", axis: "needle_x", sign: -1, fine: false });
    expect(intention(press("ArrowUp", { shift: true }), false, true)).toEqual({ do: "move", axis: "needle_y", sign: 1, fine: true });
    expect(intention(press("PageUp"), false, true)).toMatchObject({ axis: "needle_depth", sign: 1 });
    expect(intention(press("PageDown"), false, true)).toMatchObject({ axis: "needle_depth", sign: -1 });
    expect(intention(press("PageUp"), false)).toBeNull();
    expect(intention(press("n"), false, true)).toBeNull();
    expect(intention(press(" "), false, true)).toEqual({ do: "pedal" });
  });

  it("turns to the plan's views, guides, and takes the next step", () => {
    expect(intention(press("b"), false)).toEqual({ do: "plan_view", view: "coaxial" });
    expect(intention(press("c"), false)).toEqual({ do: "plan_view", view: "confirm" });
    expect(intention(press("g"), false)).toEqual({ do: "guidance" });
    expect(intention(press("y"), false)).toEqual({ do: "stylet" });
    expect(intention(press("Enter"), false)).toEqual({ do: "next" });
    expect(intention(press("Enter"), false, true)).toEqual({ do: "place" });
    for (const key of ["b", "c", "g", "y", "Enter"]) expect(intention(press(key, { ctrl: true }), false)).toBeNull();
    // What has the focus keeps its ENTER; the next step is taken only where nothing has it.
    const focus = (tag: string) => ({ tag, type: "", editable: false });
    expect(belongsToFocus(press("Enter"), focus("BUTTON"))).toBe(true);
    expect(belongsToFocus(press("Enter"), focus("SELECT"))).toBe(true);
    expect(belongsToFocus(press("Enter"), focus("BODY"))).toBe(false);
    expect(belongsToFocus(press("Enter"), focus("BUTTON"), true)).toBe(false);
  });

  it("leaves the browser's own keys alone, but never the pedal", () => {
    for (const key of ["r", "l", "w", "p"]) expect(intention(press(key, { ctrl: true }), false)).toBeNull();
    expect(intention(press("a", { meta: true }), false)).toBeNull();
    expect(intention(press("Tab"), false)).toBeNull();
    expect(intention(press(" ", { ctrl: true }), false)).toEqual({ do: "pedal" });
  });
});

describe("belongsToFocus", () => {
  const focus = (tag: string, type = "", editable = false): { tag: string; type: string; editable: boolean } => ({ tag, type, editable });

  it("gives SPACE to the pedal whatever has the focus, except while typing text", () => {
    for (const f of [null, focus("BUTTON"), focus("INPUT", "range"), focus("INPUT", "number"), focus("SELECT")]) {
      expect(belongsToFocus(press(" "), f)).toBe(false);
    }
    for (const f of [focus("INPUT", "text"), focus("TEXTAREA"), focus("DIV", "", true)]) expect(belongsToFocus(press(" "), f)).toBe(true);
  });

  it("gives ESC to the room always, arrows to a slider, digits to a number", () => {
    expect(belongsToFocus(press("Escape"), focus("INPUT", "text"))).toBe(false);
    expect(belongsToFocus(press("ArrowLeft"), focus("INPUT", "range"))).toBe(true);
    expect(belongsToFocus(press("ArrowLeft"), focus("BUTTON"))).toBe(false);
    expect(belongsToFocus(press("5"), focus("INPUT", "number"))).toBe(true);
    expect(belongsToFocus(press("k"), focus("INPUT", "range"))).toBe(false);
  });
});

describe("timed", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function ports(taken = true): PedalPorts & { sent: boolean[]; beats: number; said: string[]; refuse: string | null } {
    return {
      sent: [], beats: 0, said: [], refuse: null,
      send(down) {
        this.sent.push(down);
        return Promise.resolve(down ? taken : true);
      },
      heartbeat() {
        this.beats += 1;
      },
      refusal() {
        return this.refuse;
      },
      changed: () => undefined,
      tell(text) {
        this.said.push(text);
      },
    };
  }

  it("the pedal beats while held and only its holder releases it", () => {
    const p = ports();
    const pedal = new Pedal(p);
    pedal.pressBy("key");
    pedal.pressBy("pointer 1");
    vi.advanceTimersByTime(HEARTBEAT_MS * 5);
    expect(p.beats).toBe(5);
    pedal.releaseBy("pointer 1");
    expect(pedal.down).toBe(true);
    pedal.releaseBy("key");
    vi.advanceTimersByTime(1000);
    expect([pedal.down, p.beats, p.sent]).toEqual([false, 5, [true, false]]);
  });

  it("a refused press lets go; a press that may not be is never sent", async () => {
    const p = ports(false);
    const pedal = new Pedal(p);
    pedal.pressBy("key");
    await vi.advanceTimersByTimeAsync(0);
    expect([pedal.down, p.sent]).toEqual([false, [true]]);
    p.refuse = "watching";
    pedal.pressBy("key");
    expect([pedal.down, p.sent, p.said]).toEqual([false, [true], ["watching"]]);
  });

  it("a late refusal of an old press does not end a new one", async () => {
    const answers: ((taken: boolean) => void)[] = [];
    const p = ports();
    p.send = (down) => (down ? new Promise((resolve) => answers.push(resolve)) : Promise.resolve(true));
    const pedal = new Pedal(p);
    pedal.pressBy("key");
    pedal.release();
    pedal.pressBy("key");
    answers[0]?.(false);
    await vi.advanceTimersByTimeAsync(0);
    expect(pedal.down).toBe(true);
  });

  it("movement goes on while keys are held, at most 20 a second, both axes together", () => {
    const nudges: [string, number][][] = [];
    const movement = new Movement({ step: () => 1, nudge: (moves) => nudges.push([...moves]) });
    movement.press("ArrowLeft", "orbital", -1, false);
    vi.advanceTimersByTime(NUDGE_MS);
    movement.press("ArrowUp", "angulation", 1, true);
    movement.press("ArrowUp", "angulation", 1, true);
    vi.advanceTimersByTime(1000 - NUDGE_MS);
    expect(nudges.length).toBeLessThanOrEqual(21);
    expect(nudges.at(-1)).toEqual([["orbital", -1], ["angulation", 0.2]]);
    movement.release("ArrowLeft");
    movement.release("ArrowUp");
    const count = nudges.length;
    vi.advanceTimersByTime(1000);
    expect(nudges.length).toBe(count);
  });

  it("a limit is reached only by a move beyond it", () => {
    expect(limitReached(-95, -95, 95, -1)).toBe(-95);
    expect(limitReached(-95, -95, 95, 1)).toBeNull();
    expect(limitReached(95, -95, 95, 0.2)).toBe(95);
    expect(limitReached(94.9, -95, 95, 1)).toBeNull();
  });

  it("summed loses no step: what waits is added up", () => {
    const sent: Readonly<Record<string, number>>[] = [];
    const step = summed((steps) => sent.push(steps), NUDGE_MS);
    step({ advance_mm: 1 });
    step({ advance_mm: 1 });
    step({ advance_mm: 1, rotate_deg: 5 });
    vi.advanceTimersByTime(3 * NUDGE_MS);
    expect(sent).toEqual([{ advance_mm: 1 }, { advance_mm: 2, rotate_deg: 5 }]);
  });

  it("joined loses no part to another", () => {
    const sent: Readonly<Record<string, number>>[] = [];
    const send = joined((parts) => sent.push(parts), 50);
    send({ tilt: 1 });
    send({ cradle: 2 });
    send({ tilt: 3 });
    send({ cradle: 4 });
    vi.advanceTimersByTime(200);
    expect(sent).toEqual([{ tilt: 1 }, { cradle: 4, tilt: 3 }]);
  });

  it("throttled sends the first at once and the last always", () => {
    const sent: number[] = [];
    const send = throttled((x: number) => sent.push(x), 50);
    for (let i = 0; i < 10; i += 1) send(i);
    vi.advanceTimersByTime(200);
    send(10);
    expect(sent).toEqual([0, 9, 10]);
  });
});
