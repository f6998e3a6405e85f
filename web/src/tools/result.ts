/** A measurement with the geometry of the picture it lies on. */

import { monitors } from "../room/state";
import { angle, distance, measuredText, planeText, type Plane } from "./measure";
import { complete, depthMm, depthUncertaintyMm, type Measurement } from "./measurements";

/** "34.2 mm ± 3.4 at isocentre plane", or why there is no number. */
export function resultText(m: Measurement): string {
  const { painted, shown } = monitors[m.channel].peek();
  if (painted === null || !complete(m)) return "–";
  const pixels = m.points.map((p) => ({ x: p.x * painted.columns, y: p.y * painted.rows }));
  const [a, b, c] = pixels;
  if (a === undefined || b === undefined) return "–";
  if (m.kind === "angle") {
    const measured = c === undefined ? null : angle(a, b, c);
    return measured === null ? "–" : `${measuredText(measured, "°")} in projection`;
  }
  const pitchMm = painted.pitchMm;
  const detector = shown?.source_to_detector_mm ?? null;
  const isocenter = shown?.source_to_isocenter_mm ?? null;
  if (pitchMm === null || detector === null || isocenter === null) return "– mm: not calibrated";
  const plane: Plane = {
    sourceToDetectorMm: detector,
    sourceToIsocenterMm: isocenter,
    depthMm: depthMm.peek(),
    depthUncertaintyMm: depthUncertaintyMm.peek(),
  };
  try {
    return `${measuredText(distance(a, b, pitchMm, plane), "mm")} ${planeText(plane.depthMm)}`;
  } catch (error) {
    if (error instanceof RangeError) return "– mm: plane outside the beam";
    throw error;
  }
}
