/** Under the monitors while guidance is on: light, how far and which way, how well it is known, what to heed. */

import type { Estimate, Guidance } from "../link/guidance";
import { ageText } from "../room/format";
import { depthText, LIGHT_SHAPES, LIGHT_WORDS, sideText, sigmaText, sizeText, TRACKING_WORDS } from "../room/guidancewords";
import * as s from "../room/state";

export function GuidanceBar() {
  const guidance = s.readable.value?.guidance ?? s.status.value?.guidance;
  if (!guidance) return null;
  const { error, warnings, reached } = guidance;
  return (
    <section class="guide" aria-label="Guidance">
      <LightSign guidance={guidance} />
      <Number name={error === null ? "to go" : `to ${error.depth_to}`} value={depthText(error?.depth_mm)} unit="mm" error={error?.depth_mm} note={error?.depth_from ?? ""} />
      <Number name="lateral" value={sizeText(error?.lateral_mm)} unit="mm" error={error?.lateral_mm} note={sideText(error?.lateral_mm, "too far LEFT", "too far RIGHT")} />
      <Number name="vertical" value={sizeText(error?.vertical_mm)} unit="mm" error={error?.vertical_mm} note={sideText(error?.vertical_mm, "too far to HEAD", "too far to FEET")} />
      <Number name="angle" value={sizeText(error?.angle_deg)} unit="°" error={error?.angle_deg} note="" />
      <div class="guide-words" role="status">
        {reached !== null && <strong class="guide-reached">✓ {reached}</strong>}
        {reached === null && warnings.slice(0, 2).map(({ kind, text }) => <strong key={kind} class="guide-warning">! {text}</strong>)}
        {reached === null && warnings.length === 0 && <span>{guidance.hint?.text ?? ""}</span>}
        <TrackingLine guidance={guidance} />
      </div>
    </section>
  );
}

function LightSign({ guidance: { light, chosen, planning, tracking } }: { guidance: Guidance }) {
  const word = light !== null ? LIGHT_WORDS[light] : planning !== null ? "PLANNING" : chosen === null ? "NO PLAN" : tracking === "lost" ? "NEEDLE LOST" : "NO NEEDLE";
  return (
    <div class={`light light-${light ?? "none"}`} role="status" aria-live="assertive">
      <span class="light-shape" aria-hidden="true">{light === null ? "○" : LIGHT_SHAPES[light]}</span>
      <span class="light-word">{word}</span>
    </div>
  );
}

function Number({ name, value, unit, error, note }: { name: string; value: string; unit: string; error: Estimate | null | undefined; note: string }) {
  return (
    <div class="guide-figure">
      <span class="guide-value">{value}<small>{unit}</small><em>{sigmaText(error)}</em></span>
      <span class="figure-name">{name}{note !== "" && <b> {note}</b>}</span>
    </div>
  );
}

function TrackingLine({ guidance: { tracking, tracking_text: text, age_ms: age } }: { guidance: Guidance }) {
  if (tracking === null) return <small class="guide-tracking">{text}</small>;
  return <small class={`guide-tracking tracking-${tracking}`}>needle {TRACKING_WORDS[tracking]}{age === null ? "" : `, seen ${ageText(age)} ago`}{text !== "" && ` · ${text}`}</small>;
}
