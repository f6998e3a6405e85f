/**
 * The colours of the dose maps. Fixed steps: a map that grows keeps its colours until the dose passes the top of the
 * scale, which is then the next of 1, 2, 5, 10, 20 … mGy.
 *
 * The colours are computed, from violet over red to yellow, at equal steps of lightness and hue in Oklab (B. Ottosson,
 * "A perceptual color space for image processing", 2020): neighbours differ equally to the eye, and in a grey print the
 * order stays.
 */

export const BANDS = 10;
const LOWEST_TOP_MGY = 1;
const LIGHTNESS = [0.44, 0.93] as const;
const HUE_DEG = [302, 464] as const;
const CHROMA = 0.135;

export type Rgb = readonly [number, number, number];

/** Skin that was not hit, on the unrolled map: a grey that is no colour of the scale. */
export const UNDOSED: Rgb = [70, 78, 87];

/** Oklab to linear light of sRGB: the matrices of Ottosson's definition. */
export function linearFromOklab(l: number, a: number, b: number): Rgb {
  const long = (l + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const middle = (l - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const short = (l - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
    -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
    -0.0041960863 * long - 0.7034186147 * middle + 1.707614701 * short,
  ];
}

/** Oklab of a place on the scale, 0 to 1. */
export function oklabAt(share: number): Rgb {
  const l = LIGHTNESS[0] + (LIGHTNESS[1] - LIGHTNESS[0]) * share;
  const hue = ((HUE_DEG[0] + (HUE_DEG[1] - HUE_DEG[0]) * share) * Math.PI) / 180;
  return [l, CHROMA * Math.cos(hue), CHROMA * Math.sin(hue)];
}

/** sRGB, 0 to 255, of a place on the scale, 0 to 1. */
export function colorAt(share: number): Rgb {
  const [r, g, b] = linearFromOklab(...oklabAt(share)).map((value) => {
    const held = Math.min(1, Math.max(0, value));
    return Math.round(255 * (held <= 0.0031308 ? 12.92 * held : 1.055 * held ** (1 / 2.4) - 0.055));
  });
  return [r ?? 0, g ?? 0, b ?? 0];
}

/** One colour for each of `bands` bands, lowest first. */
export function bandColors(bands: number = BANDS): readonly Rgb[] {
  return Array.from({ length: bands }, (_, i) => colorAt(bands === 1 ? 1 : i / (bands - 1)));
}

/** Top of the scale for a peak: the smallest of 1, 2, 5, 10, 20 … that holds it. */
export function scaleTop(peakMgy: number): number {
  if (!(peakMgy > LOWEST_TOP_MGY)) return LOWEST_TOP_MGY;
  const decade = 10 ** Math.floor(Math.log10(peakMgy) + 1e-9);
  for (const step of [1, 2, 5]) if (peakMgy <= step * decade * (1 + 1e-9)) return step * decade;
  return 10 * decade;
}

/** Band of a dose, 0 the lowest; −1 for skin that was not hit. A dose on an edge belongs to the band above. */
export function bandOf(doseMgy: number, topMgy: number): number {
  if (!(doseMgy > 0)) return -1;
  return Math.min(BANDS - 1, Math.floor((doseMgy / topMgy) * BANDS + 1e-9));
}

/** Fill `out` (RGBA of each cell) for a map; skin that was not hit is see-through. */
export function paintCells(doseMgy: ArrayLike<number>, topMgy: number, out: Uint8Array): void {
  const colors = bandColors();
  for (let cell = 0; cell < doseMgy.length; cell += 1) {
    const color = colors[bandOf(doseMgy[cell] ?? 0, topMgy)];
    out[4 * cell] = color?.[0] ?? 0;
    out[4 * cell + 1] = color?.[1] ?? 0;
    out[4 * cell + 2] = color?.[2] ?? 0;
    out[4 * cell + 3] = color === undefined ? 0 : 255;
  }
}

/** The numbers beside the colour bar: every second edge of the bands, lowest first. */
export function ticks(topMgy: number): readonly number[] {
  return Array.from({ length: BANDS / 2 + 1 }, (_, i) => Number(((topMgy * 2 * i) / BANDS).toPrecision(6)));
}

/** A number of the scale without a tail of noughts. */
export const tickText = (value: number): string => String(Number(value.toPrecision(3)));

/** The colour bar as a CSS background, in hard steps. */
export function barGradient(way: string): string {
  const stops = bandColors().map(([r, g, b], i) => `rgb(${r} ${g} ${b}) ${(100 * i) / BANDS}% ${(100 * (i + 1)) / BANDS}%`);
  return `linear-gradient(${way}, ${stops.join(", ")})`;
}
