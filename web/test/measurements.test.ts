import { beforeEach, describe, expect, it } from "vitest";

import { updateMonitor, type PaintedPicture } from "../src/room/state";
import * as m from "../src/tools/measurements";
import { resultText } from "../src/tools/result";

const PAINTED: PaintedPicture = {
  kind: "hold", rows: 512, columns: 512, binning: 1, eightBit: false, index: 3, eventNumber: 1, pitchMm: 300 / 512, label: "",
  ageAtArrivalMs: 1, arrivedMs: 0,
};
const SHOWN = {
  markers: null, view_text: "antero-posterior", source_to_detector_mm: 1020, source_to_isocenter_mm: 510,
  tube_voltage_kv: 70, tube_current_ma: 3, pulse_width_ms: 8, pulse_rate_hz: 7.5,
};
const at = (x: number, y: number): { x: number; y: number } => ({ x, y });

beforeEach(() => {
  m.clearMeasurements("live");
  m.clearMeasurements("reference");
  m.setMeasuring(null);
  updateMonitor("live", { painted: PAINTED, shown: SHOWN });
});

describe("measurements [HAZ-SCALE-001]", () => {
  it("are placed point by point, two for a distance, three for an angle", () => {
    m.setMeasuring("distance");
    m.placePoint("live", at(0.25, 0.5));
    expect(m.measurements.value.filter(m.complete)).toHaveLength(0);
    m.placePoint("live", at(0.75, 0.5));
    m.setMeasuring("angle");
    for (const p of [at(0.1, 0.1), at(0.5, 0.5), at(0.9, 0.1)]) m.placePoint("live", p);
    expect(m.measurements.value.map(resultText)).toEqual(["75.0 mm ± 7.4 at isocentre plane", "90.0° ± 0.4 in projection"]);
  });

  it("do not mix monitors, and an unfinished one goes when the tool is put away", () => {
    m.setMeasuring("distance");
    m.placePoint("live", at(0, 0));
    m.placePoint("reference", at(0, 0));
    m.placePoint("reference", at(1, 0));
    expect(m.measurements.value.map((x) => [x.channel, x.points.length])).toEqual([["reference", 2]]);
    m.placePoint("live", at(0, 0));
    m.setMeasuring(null);
    expect(m.measurements.value).toHaveLength(1);
  });

  it("are dragged, deleted and brought back", () => {
    m.setMeasuring("distance");
    m.placePoint("live", at(0.2, 0.2));
    m.placePoint("live", at(0.4, 0.2));
    const grip = m.handleAt("live", at(0.41, 0.2), 0.02);
    expect(grip?.index).toBe(1);
    if (grip === null) return;
    m.beginDrag();
    m.movePoint(grip.id, grip.index, at(0.6, 0.2));
    expect(m.measurements.value[0]?.points[1]).toEqual(at(0.6, 0.2));
    m.deleteSelected();
    expect(m.measurements.value).toHaveLength(0);
    m.undo();
    m.undo();
    expect(m.measurements.value[0]?.points[1]).toEqual(at(0.4, 0.2));
    expect(m.handleAt("reference", at(0.4, 0.2), 0.02)).toBeNull();
  });

  it("give no millimetres without a calibration", () => {
    m.setMeasuring("distance");
    m.placePoint("live", at(0, 0));
    m.placePoint("live", at(1, 0));
    updateMonitor("live", { painted: { ...PAINTED, pitchMm: null } });
    expect(m.measurements.value.map(resultText)).toEqual(["– mm: not calibrated"]);
    updateMonitor("live", { painted: PAINTED, shown: null });
    expect(m.measurements.value.map(resultText)).toEqual(["– mm: not calibrated"]);
  });

  it("belong to one picture", () => {
    const before = m.pictureKey("live");
    updateMonitor("live", { painted: { ...PAINTED, eventNumber: 2 } });
    expect(m.pictureKey("live")).not.toBe(before);
  });
});
