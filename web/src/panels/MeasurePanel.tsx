/** Measuring: the object plane it is calibrated at, and the results. */

import { complete, deleteMeasurement, depthMm, depthUncertaintyMm, measurements, measuring, selected, setMeasuring, undo } from "../tools/measurements";
import { resultText } from "../tools/result";
import { follow, monitors } from "../room/state";
import { Amount } from "./Amount";
import { Choice } from "./Sliders";

export function MeasurePanel() {
  const all = measurements.value.filter(complete);
  // Results depend on what the monitors show and on the plane.
  follow(monitors.live.value, monitors.reference.value);
  return (
    <>
      <Choice label="Measure" keys="M" value={measuring.value ?? "off"} disabled={false}
        options={[{ value: "off", text: "off" }, { value: "distance", text: "distance" }, { value: "angle", text: "angle" }]}
        onChoose={(kind) => setMeasuring(kind === "off" ? null : kind)} />
      <p class="hint">Object plane, from the isocentre toward the detector. A spine off the plane reads wrong: the ± says by how much.</p>
      <Amount label="Depth" unit="mm" step={1} value={depthMm.value} min={-400} max={400} onSet={(mm) => (depthMm.value = mm)} />
      <Amount label="Depth ±" unit="mm" step={1} value={depthUncertaintyMm.value} min={0} max={300} onSet={(mm) => (depthUncertaintyMm.value = mm)} />
      <ul class="results">
        {all.map((m) => (
          <li key={m.id} class={m.id === selected.value ? "is-on" : ""}>
            <button type="button" class="plain result" onClick={() => (selected.value = m.id)}>{m.channel === "live" ? "LIVE" : "REF"} · {resultText(m)}</button>
            <button type="button" class="fine" aria-label="Delete this measurement" onClick={() => deleteMeasurement(m.id)}>×</button>
          </li>
        ))}
      </ul>
      {all.length === 0 && <p class="hint">Click two points for a distance, three for an angle; drag the handles.</p>}
      <div class="views"><button type="button" onClick={undo}>Undo</button></div>
    </>
  );
}
