/** Keys to intentions. Pure: which key means what is decided here and tested without a browser. */

export interface KeyPress {
  readonly code: string;
  readonly key: string;
  readonly shift: boolean;
  readonly ctrl: boolean;
  readonly alt: boolean;
  readonly meta: boolean;
}

export type NeedleAxis = "needle_x" | "needle_y" | "needle_depth";
export type Axis = "orbital" | "angulation" | "table_longitudinal" | "table_lateral" | "table_height" | NeedleAxis;
export type Blade = "left_right" | "upper_lower";

export type Intention =
  | { readonly do: "pedal" | "stop" | "help" | "invert" | "rotate" | "flip" | "measure" | "store" | "replay" | "undo" | "delete" | "guidance" | "next" | "place" | "stylet" }
  | { readonly do: "view"; readonly view: "ap" | "lateral" | "oblique" }
  | { readonly do: "plan_view"; readonly view: "coaxial" | "confirm" }
  | { readonly do: "zoom" | "pulse_rate" | "stored"; readonly step: -1 | 1 }
  /** Repeats smoothly while the key is down. */
  | { readonly do: "move"; readonly axis: Axis; readonly sign: -1 | 1; readonly fine: boolean }
  | { readonly do: "blades"; readonly pair: Blade; readonly sign: -1 | 1 };

const ARROWS: Readonly<Record<string, readonly [Axis, Blade, -1 | 1]>> = {
  ArrowLeft: ["orbital", "left_right", -1],
  ArrowRight: ["orbital", "left_right", 1],
  ArrowUp: ["angulation", "upper_lower", 1],
  ArrowDown: ["angulation", "upper_lower", -1],
};

const NEEDLE: Readonly<Record<string, readonly [NeedleAxis, -1 | 1]>> = {
  ArrowLeft: ["needle_x", -1],
  ArrowRight: ["needle_x", 1],
  ArrowUp: ["needle_y", 1],
  ArrowDown: ["needle_y", -1],
  PageUp: ["needle_depth", 1],
  PageDown: ["needle_depth", -1],
};

const MOVES: Readonly<Record<string, readonly [Axis, -1 | 1]>> = {
  q: ["table_longitudinal", -1],
  e: ["table_longitudinal", 1],
  h: ["table_lateral", -1],
  u: ["table_lateral", 1],
  w: ["table_height", -1],
  s: ["table_height", 1],
};

const SIMPLE: Readonly<Record<string, Intention>> = {
  i: { do: "invert" },
  r: { do: "rotate" },
  f: { do: "flip" },
  m: { do: "measure" },
  k: { do: "store" },
  p: { do: "replay" },
  a: { do: "view", view: "ap" },
  l: { do: "view", view: "lateral" },
  o: { do: "view", view: "oblique" },
  b: { do: "plan_view", view: "coaxial" },
  c: { do: "plan_view", view: "confirm" },
  g: { do: "guidance" },
  y: { do: "stylet" },
  z: { do: "zoom", step: 1 },
  x: { do: "zoom", step: -1 },
  "[": { do: "pulse_rate", step: -1 },
  "]": { do: "pulse_rate", step: 1 },
  ",": { do: "stored", step: -1 },
  ".": { do: "stored", step: 1 },
  "?": { do: "help" },
};

/** What `press` means, with J or N held or not; null when it is none of ours (the browser keeps it). */
export function intention(press: KeyPress, jHeld: boolean, nHeld = false): Intention | null {
  if (press.code === "Space") return { do: "pedal" };
  if (press.code === "Escape") return { do: "stop" };
  if ((press.ctrl || press.meta) && !press.alt && press.key.toLowerCase() === "z") return { do: "undo" };
  if (press.ctrl || press.meta || press.alt) return null;
  const needle = nHeld ? NEEDLE[press.code] : undefined;
  if (needle !== undefined) return { do: "move", axis: needle[0], sign: needle[1], fine: press.shift };
  if (press.code === "Enter") return { do: nHeld ? "place" : "next" };
  const arrow = ARROWS[press.code];
  if (arrow !== undefined) {
    const [axis, pair, sign] = arrow;
    return jHeld ? { do: "blades", pair, sign } : { do: "move", axis, sign, fine: press.shift };
  }
  if (press.code === "Delete" || press.code === "Backspace") return { do: "delete" };
  const letter = press.key.toLowerCase();
  const move = MOVES[letter];
  if (move !== undefined) return { do: "move", axis: move[0], sign: move[1], fine: press.shift };
  return SIMPLE[letter] ?? null;
}

export interface Focus {
  readonly tag: string;
  readonly type: string;
  readonly editable: boolean;
}

/** Whether what has the focus takes text. */
export function takesText(focus: Focus | null): boolean {
  return focus !== null && (focus.editable || focus.tag === "TEXTAREA" || (focus.tag === "INPUT" && ["text", "search", "password"].includes(focus.type)));
}

/** What still works while a box lies over the room: nothing moves behind it. */
export const worksUnderBox = (wanted: Intention): boolean => ["pedal", "stop", "help"].includes(wanted.do);

/** Whether the key goes to what has the focus rather than to the room. */
export function belongsToFocus(press: KeyPress, focus: Focus | null, nHeld = false): boolean {
  if (focus === null) return false;
  // ENTER is the next step only where nothing has the focus.
  if (press.code === "Enter" && !nHeld) return focus.tag !== "BODY";
  if (takesText(focus)) return press.code !== "Escape";
  if (press.code === "Space" || press.code === "Escape") return false;
  if (focus.tag === "INPUT" && focus.type === "number") return press.key !== "?";
  // A letter chooses in a list; the C-arm must not turn meanwhile.
  if (focus.tag === "SELECT" && press.key.length === 1 && !press.ctrl && !press.meta && !press.alt) return true;
  const arrows = press.code.startsWith("Arrow") || press.code === "Home" || press.code === "End";
  return arrows && (focus.tag === "SELECT" || (focus.tag === "INPUT" && focus.type === "range"));
}

export const KEY_HELP: readonly { readonly group: string; readonly keys: readonly (readonly [string, string])[] }[] = [
  {
    group: "X-ray",
    keys: [
      ["SPACE (hold)", "X-ray on while held"],
      ["ESC", "stop any exposure"],
      ["[  ]", "fewer / more pulses per second"],
      ["Z  X", "zoom field in / out"],
      ["J + arrows", "collimator blades"],
    ],
  },
  {
    group: "C-arm and table",
    keys: [
      ["← →", "around the patient"],
      ["↑ ↓", "to head / feet"],
      ["SHIFT + key", "fine steps"],
      ["A  L  O", "AP, lateral, oblique"],
      ["B  C", "bull's-eye, confirm view of the plan"],
      ["Q  E", "table to feet / head"],
      ["H  U", "table left / right"],
      ["W  S", "table up / down"],
    ],
  },
  {
    group: "Needle",
    keys: [
      ["N + ENTER", "place it: at the plan, else at the marker"],
      ["N + arrows", "swing the hub, as LIVE shows it"],
      ["N + PAGE UP/DOWN", "advance / withdraw"],
      ["N + wheel", "the same; the catheter, once it is in"],
      ["SHIFT + key", "fine steps"],
      ["Y", "stylet out / in"],
      ["G", "guidance on / off"],
    ],
  },
  {
    group: "Picture",
    keys: [
      ["drag", "window and level"],
      ["double-click", "window of the run"],
      ["I", "invert"],
      ["R", "turn 90°"],
      ["F", "flip left-right"],
      ["M", "measure"],
      ["DEL, CTRL+Z", "delete, undo measurement"],
    ],
  },
  {
    group: "Images",
    keys: [
      ["K", "store the image on LIVE"],
      ["P", "replay the last run / stop"],
      [",  .", "previous / next stored image"],
      ["ENTER", "the next step, when nothing has the focus"],
      ["TAB, ENTER", "every control"],
      ["?", "this list"],
    ],
  },
];
