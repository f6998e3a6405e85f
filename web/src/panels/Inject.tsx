/** Contrast medium through the needle, or through the catheter once one is in. */

import { useState } from "preact/hooks";

import { fixed } from "../room/format";
import { act } from "../room/room";
import * as s from "../room/state";
import { Amount } from "./Amount";

interface InjectProps {
  /** Why nothing can be injected now, in words; "" when it can. */
  readonly closed: string;
  readonly off: boolean;
}

export function Inject({ closed, off }: InjectProps) {
  const [ml, setMl] = useState(1);
  const [strength, setStrength] = useState(240);
  const [rate, setRate] = useState(0.2);
  const contrast = s.status.value?.contrast ?? null;
  const running = contrast?.injecting === true;
  return (
    <section aria-label="Contrast medium">
      <h3>Contrast medium</h3>
      <div class="inject">
        <Amount label="Volume" unit="ml" value={ml} min={0.1} max={20} step={0.1} onSet={setMl} />
        <Amount label="Strength" unit="mg I/ml" value={strength} min={0} max={400} step={10} onSet={setStrength} />
        <Amount label="Rate" unit="ml/s" value={rate} min={0.05} max={5} step={0.05} onSet={setRate} />
      </div>
      <div class="views">
        <button type="button" class="accent" disabled={off || closed !== "" || running} onClick={() => act("inject", { volume_ml: ml, concentration_mgi_ml: strength, rate_ml_s: rate })}>Inject</button>
        <button type="button" disabled={off || !running} onClick={() => act("inject_stop")}>Stop injecting</button>
      </div>
      {closed !== "" && <p class="hint">{closed}</p>}
      {contrast !== null && (
        <p class="hint" role="status">{running ? "Injecting" : "Injected"} {fixed(contrast.given_ml, 1)} of {fixed(contrast.asked_ml, 1)} ml{truthText(contrast.truth)}</p>
      )}
    </section>
  );
}

function truthText(truth: Readonly<Record<string, number>> | null): string {
  if (truth === null) return "";
  const places = Object.entries(truth).filter(([, ml]) => ml >= 0.005).map(([place, ml]) => `${place} ${fixed(ml, 2)} ml`);
  return places.length === 0 ? "" : `: ${places.join(", ")}`;
}
