import { describe, expect, it } from "vitest";

import { flipped, pictureFromSeen, plateSize, seenEdges, seenFromPicture, turned, UPRIGHT, type Orientation, type Point } from "../src/picture/orientation";

const MARKERS = { column_left: "R", column_right: "L", top: "H", bottom: "F" };
const EDGE: Record<"left" | "right" | "top" | "bottom", Point> = {
  left: { x: 0, y: 0.5 }, right: { x: 1, y: 0.5 }, top: { x: 0.5, y: 0 }, bottom: { x: 0.5, y: 1 },
};
const ALL: Orientation[] = [0, 1, 2, 3].flatMap((turns) => [{ turns, flip: false }, { turns, flip: true }]);

describe("letters at the edges", () => {
  it("upright: as the room says", () => {
    expect(seenEdges(MARKERS, UPRIGHT)).toEqual({ left: "R", right: "L", top: "H", bottom: "F" });
  });

  it("turned clockwise: what was at the top is at the right", () => {
    expect(seenEdges(MARKERS, turned(UPRIGHT))).toEqual({ left: "F", right: "H", top: "R", bottom: "L" });
  });

  it("flipped: left and right change over, top stays", () => {
    expect(seenEdges(MARKERS, flipped(UPRIGHT))).toEqual({ left: "L", right: "R", top: "H", bottom: "F" });
  });

  it("always lie where that edge of the picture is seen", () => {
    for (const o of ALL) {
      const edges = seenEdges(MARKERS, o);
      for (const [edge, letter] of [["left", "R"], ["right", "L"], ["top", "H"], ["bottom", "F"]] as const) {
        const at = seenFromPicture(EDGE[edge], o);
        const where = at.x === 0 ? edges.left : at.x === 1 ? edges.right : at.y === 0 ? edges.top : edges.bottom;
        expect(where).toBe(letter);
      }
    }
  });

  it("are left out where the side is unknown", () => {
    expect(seenEdges(null, UPRIGHT)).toEqual({ left: "", right: "", top: "", bottom: "" });
  });
});

describe("turns and flips", () => {
  it("come back after four turns, after two flips", () => {
    for (const o of ALL) {
      expect(turned(turned(turned(turned(o))))).toEqual(o);
      expect(flipped(flipped(o))).toEqual(o);
    }
  });

  it("act on what is seen: a flip mirrors left-right whatever came before, a turn turns it clockwise", () => {
    const p = { x: 0.2, y: 0.7 };
    for (const o of ALL) {
      const seen = seenFromPicture(p, o);
      const mirrored = seenFromPicture(p, flipped(o));
      expect(mirrored.x).toBeCloseTo(1 - seen.x, 12);
      expect(mirrored.y).toBeCloseTo(seen.y, 12);
      const rotated = seenFromPicture(p, turned(o));
      expect(rotated.x).toBeCloseTo(1 - seen.y, 12);
      expect(rotated.y).toBeCloseTo(seen.x, 12);
    }
  });

  it("are undone exactly", () => {
    for (const o of ALL) {
      const back = pictureFromSeen(seenFromPicture({ x: 0.2, y: 0.7 }, o), o);
      expect(back.x).toBeCloseTo(0.2, 12);
      expect(back.y).toBeCloseTo(0.7, 12);
    }
  });
});

describe("a picture that is not square", () => {
  it("keeps square pixels on the square glass, turned or not", () => {
    const upright = plateSize(464, 512, UPRIGHT);
    expect(upright.seen).toEqual({ x: 1, y: 464 / 512 });
    const quarter = plateSize(464, 512, turned(UPRIGHT));
    expect(quarter.laid).toEqual(upright.laid);
    expect(quarter.seen).toEqual({ x: 464 / 512, y: 1 });
    for (const { seen, laid } of [upright, quarter]) expect(seen.x * seen.y).toBeCloseTo(laid.x * laid.y);
  });
});
