/** Zoom field and collimator blades. */

import { setCollimation } from "../room/controls";
import { act } from "../room/room";
import { mayAct, status } from "../room/state";
import { SMALLEST_HALF_MM } from "../tools/collimation";
import { Choice, Slider } from "./Sliders";

export function FieldPanel() {
  const now = status.value;
  if (now === null) return null;
  if (now.collimation === null) return <p class="hint">The field of this source is not known.</p>;
  const off = !mayAct.value;
  const { detector, collimation } = now;
  const half = collimation.field_mm / 2;
  return (
    <>
      <Choice label="Zoom" keys="Z X" value={detector.field_index} disabled={off}
        options={detector.fields.map((field, index) => ({ value: index, text: field.label }))}
        onChoose={(index) => (index === detector.field_index ? undefined : act("set_field", { index }))} />
      <Slider label="Blades left" unit="mm" keys="J ← →" value={collimation.left_mm} min={SMALLEST_HALF_MM} max={half} step={5} fine={5} disabled={off}
        onSet={(mm) => setCollimation({ left_mm: mm })} />
      <Slider label="Blades right" unit="mm" value={collimation.right_mm} min={SMALLEST_HALF_MM} max={half} step={5} fine={5} disabled={off}
        onSet={(mm) => setCollimation({ right_mm: mm })} />
      <Slider label="Blades upper" unit="mm" keys="J ↑ ↓" value={collimation.upper_mm} min={SMALLEST_HALF_MM} max={half} step={5} fine={5} disabled={off}
        onSet={(mm) => setCollimation({ upper_mm: mm })} />
      <Slider label="Blades lower" unit="mm" value={collimation.lower_mm} min={SMALLEST_HALF_MM} max={half} step={5} fine={5} disabled={off}
        onSet={(mm) => setCollimation({ lower_mm: mm })} />
      <div class="views">
        <button type="button" disabled={off} onClick={() => act("set_collimation", { open: true })}>Open blades</button>
      </div>
      <p class="hint">Blades set without X-ray are drawn on the image held on LIVE.</p>
    </>
  );
}
