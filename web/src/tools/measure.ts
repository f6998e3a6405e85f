/**
 * Distance and angle on a projection, calibrated at a stated object plane parallel to the detector.
 *
 * An object at depth z (mm from the isocentre toward the detector) lies source_to_isocenter + z from the source, so it is
 * magnified M = source_to_detector / (source_to_isocenter + z); a pixel of pitch p at the detector spans p / M at the object.
 * The ± joins, in quadrature, ±1 px for the placing of every handle and the depth's own ±: δd/d = δz / (source_to_isocenter + z).
 * An angle between lines of one plane parallel to the detector does not depend on the depth: only the handles count.
 */

export interface PixelPoint {
  /** Columns and rows, in pixels of the picture. */
  readonly x: number;
  readonly y: number;
}

export interface Plane {
  readonly sourceToDetectorMm: number;
  readonly sourceToIsocenterMm: number;
  /** From the isocentre toward the detector. */
  readonly depthMm: number;
  readonly depthUncertaintyMm: number;
}

export interface Measured {
  readonly value: number;
  /** Half-width of the stated uncertainty, same unit. */
  readonly plusMinus: number;
}

export const HANDLE_PX = 1;

/** Size of one pixel at the object plane, mm. */
export function pixelAtPlaneMm(pitchMm: number, plane: Plane): number {
  const fromSource = plane.sourceToIsocenterMm + plane.depthMm;
  if (!(fromSource > 0 && fromSource <= plane.sourceToDetectorMm)) {
    throw new RangeError("the object plane must lie between the source and the detector");
  }
  return (pitchMm * fromSource) / plane.sourceToDetectorMm;
}

/** Distance a–b at the plane, mm. */
export function distance(a: PixelPoint, b: PixelPoint, pitchMm: number, plane: Plane): Measured {
  const pixelMm = pixelAtPlaneMm(pitchMm, plane);
  const value = Math.hypot(b.x - a.x, b.y - a.y) * pixelMm;
  const handles = Math.SQRT2 * HANDLE_PX * pixelMm;
  const depth = (value * plane.depthUncertaintyMm) / (plane.sourceToIsocenterMm + plane.depthMm);
  return { value, plusMinus: Math.hypot(handles, depth) };
}

/** Angle a–vertex–b, degrees, 0 to 180; null while an arm has no length. */
export function angle(a: PixelPoint, vertex: PixelPoint, b: PixelPoint): Measured | null {
  const ax = a.x - vertex.x;
  const ay = a.y - vertex.y;
  const bx = b.x - vertex.x;
  const by = b.y - vertex.y;
  const a2 = ax * ax + ay * ay;
  const b2 = bx * bx + by * by;
  if (a2 === 0 || b2 === 0) return null;
  const value = Math.abs(Math.atan2(ax * by - ay * bx, ax * bx + ay * by)) * (180 / Math.PI);
  // A handle moved across its arm turns it by 1/length; the vertex moves both arms at once.
  const vertexPull = Math.hypot(-by / b2 + ay / a2, bx / b2 - ax / a2);
  const radians = HANDLE_PX * Math.sqrt(1 / a2 + 1 / b2 + vertexPull * vertexPull);
  return { value, plusMinus: radians * (180 / Math.PI) };
}

/** "34.2 mm ± 3.4"; coarser when the uncertainty is. */
export function measuredText(measured: Measured, unit: "mm" | "°"): string {
  const digits = measured.plusMinus >= 10 ? 0 : 1;
  const space = unit === "mm" ? " " : "";
  return `${measured.value.toFixed(digits)}${space}${unit} ± ${measured.plusMinus.toFixed(digits)}`;
}

/** Where the measurement holds, in words. */
export function planeText(depthMm: number): string {
  if (depthMm === 0) return "at isocentre plane";
  return `${Math.abs(depthMm)} mm ${depthMm > 0 ? "to detector" : "to source"}`;
}
