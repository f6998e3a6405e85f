/** A slider with fine steps on both sides and its value in words; it follows the room unless it is being dragged. */

import { useEffect, useRef, useState } from "preact/hooks";

import { UNKNOWN, stepped } from "../room/format";

interface SliderProps {
  readonly label: string;
  readonly unit: string;
  readonly value: number | null;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly fine?: number;
  readonly disabled: boolean;
  readonly keys?: string;
  readonly onSet: (value: number) => void;
  readonly onNudge?: (delta: number) => void;
}

export function Slider({ label, unit, value, min, max, step, fine, disabled, keys, onSet, onNudge }: SliderProps) {
  const [dragged, setDragged] = useState<number | null>(null);
  const settle = useRef<ReturnType<typeof setTimeout> | null>(null);
  // The room answers within a status or two; then it is the truth again.
  useEffect(() => () => {
    if (settle.current !== null) clearTimeout(settle.current);
  }, []);
  const small = fine ?? step;
  const shown = dragged ?? value;
  const set = (to: number): void => {
    setDragged(to);
    onSet(to);
    if (settle.current !== null) clearTimeout(settle.current);
    settle.current = setTimeout(() => setDragged(null), 400);
  };
  const nudge = (delta: number): void => {
    if (onNudge !== undefined) onNudge(delta);
    else if (value !== null) set(Math.min(max, Math.max(min, value + delta)));
  };
  return (
    <div class="slider">
      <span class="slider-label">{label}{keys !== undefined && <kbd>{keys}</kbd>}</span>
      <span class="slider-value">{shown === null ? UNKNOWN : stepped(shown, Math.min(step, 1))}<small>{unit}</small></span>
      <div class="slider-row">
        <button type="button" class="fine" aria-label={`${label} minus ${small} ${unit}`} disabled={disabled || value === null} onClick={() => nudge(-small)}>−</button>
        <input type="range" aria-label={`${label}, ${unit}`} min={min} max={max} step={Math.min(step, 1)} value={shown ?? min}
          disabled={disabled || value === null} onInput={(event) => set(event.currentTarget.valueAsNumber)}
          // After the mouse the arrow keys turn the C-arm again; reached by TAB the slider keeps them.
          onPointerUp={(event) => event.currentTarget.blur()} />
        <button type="button" class="fine" aria-label={`${label} plus ${small} ${unit}`} disabled={disabled || value === null} onClick={() => nudge(small)}>+</button>
      </div>
    </div>
  );
}

interface ChoiceProps<T extends string | number> {
  readonly label: string;
  readonly keys?: string;
  readonly options: readonly { readonly value: T; readonly text: string }[];
  readonly value: T | null;
  readonly disabled: boolean;
  readonly onChoose: (value: T) => void;
}

export function Choice<T extends string | number>({ label, keys, options, value, disabled, onChoose }: ChoiceProps<T>) {
  return (
    <div class="choice" role="group" aria-label={label}>
      <span class="slider-label">{label}{keys !== undefined && <kbd>{keys}</kbd>}</span>
      <div class="choice-row">
        {options.map((option) => (
          <button type="button" key={option.value} class={option.value === value ? "is-on" : ""} aria-pressed={option.value === value}
            disabled={disabled} onClick={() => onChoose(option.value)}>{option.text}</button>
        ))}
      </div>
    </div>
  );
}
