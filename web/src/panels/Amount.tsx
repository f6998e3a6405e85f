/** A number to type. What is being typed stays while the page follows the room; it counts when the field is left. */

import { useState } from "preact/hooks";

interface AmountProps {
  readonly label: string;
  readonly unit: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly onSet: (value: number) => void;
}

export function Amount({ label, unit, value, min, max, step, onSet }: AmountProps) {
  const [typed, setTyped] = useState<string | null>(null);
  return (
    <label class="number">
      <span>{label}</span>
      <input type="number" aria-label={`${label}, ${unit}`} value={typed ?? value} min={min} max={max} step={step}
        onInput={(event) => setTyped(event.currentTarget.value)}
        onChange={(event) => {
          const wanted = event.currentTarget.valueAsNumber;
          setTyped(null);
          if (Number.isFinite(wanted)) onSet(Math.min(max, Math.max(min, wanted)));
        }} />
      <small>{unit}</small>
    </label>
  );
}
