/** kV, mA, pulses and filter. */

import { act } from "../room/room";
import { mayAct, pedalMode, status } from "../room/state";
import { Choice, Slider } from "./Sliders";

export function TechniquePanel() {
  const now = status.value;
  if (now === null) return null;
  if (now.technique.pulse_rates_hz.length === 0) return <p class="hint">A recorded clip: its technique is as it was taken. What the file says of it stands in the picture.</p>;
  const off = !mayAct.value;
  const byHand = !off && now.technique.automatic === false;
  const { technique } = now;
  const limited = technique.limited_by ?? null;
  const set = (args: Record<string, unknown>): void => act("set_technique", args);
  return (
    <>
      <Choice label="Pulses per second" keys="[ ]" value={technique.pulse_rate_hz} disabled={off}
        options={technique.pulse_rates_hz.map((hz) => ({ value: hz, text: String(hz) }))} onChoose={(hz) => set({ pulse_rate_hz: hz })} />
      <Choice label="Dose level" value={technique.dose_level} disabled={off}
        options={(["low", "normal", "high"] as const).map((level) => ({ value: level, text: level }))} onChoose={(level) => set({ dose_level: level })} />
      <Choice label="Pedal gives" value={pedalMode.value} disabled={off}
        options={(["fluoroscopy", "acquisition"] as const).map((mode) => ({ value: mode, text: mode }))} onChoose={(mode) => (pedalMode.value = mode)} />
      <Choice label="Copper filter, mm" value={technique.copper_mm} disabled={off}
        options={technique.coppers_mm.map((mm) => ({ value: mm, text: String(mm) }))} onChoose={(mm) => set({ copper_mm: mm })} />
      <Choice label="Technique" value={technique.automatic === null ? null : technique.automatic ? "automatic" : "manual"} disabled={off}
        options={[{ value: "automatic", text: "automatic" }, { value: "manual", text: "manual" }]} onChoose={(how) => set({ automatic: how === "automatic" })} />
      {limited !== null && <p class="hint limited">Limited by {limited}: the picture is darker or noisier than wanted.</p>}
      <Slider label="Tube voltage" unit="kV" value={technique.tube_voltage_kv} min={40} max={125} step={1} disabled={!byHand}
        onSet={(kv) => set({ tube_voltage_kv: kv })} />
      <Slider label="Tube current" unit="mA" value={technique.tube_current_ma} min={0.1} max={100} step={0.1} disabled={!byHand}
        onSet={(ma) => set({ tube_current_ma: ma })} />
      <Slider label="Pulse width" unit="ms" value={technique.pulse_width_ms} min={1} max={30} step={0.5} disabled={!byHand}
        onSet={(ms) => set({ pulse_width_ms: ms })} />
    </>
  );
}
