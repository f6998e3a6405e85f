/** The words in the corners of a picture: with what it was taken, how it is shown, and that it is simulated. */

import type { Channel } from "../link/decode";
import { fixed, UNKNOWN } from "../room/format";
import * as s from "../room/state";

export function PictureText({ channel, orientation }: { channel: Channel; orientation: string }) {
  const { painted, shown, window, runWindow } = s.monitors[channel].value;
  const now = s.status.value;
  if (painted === null) return null;
  const use = window ?? runWindow;
  const limited = channel === "live" ? (now?.technique.limited_by ?? null) : null;
  const moved = channel === "live" && s.movedSinceLive.value;
  return (
    <>
      <span class="corner corner-tl burned">{now?.simulated === false ? "RECORDED" : "SIMULATED"}</span>
      <span class="corner corner-tr">
        {use !== null && !painted.eightBit && <>W {fixed(use.width, 0)}  L {fixed(use.center, 0)}{window !== null && " •"}<br /></>}
        {s.invert.value && <>inverted<br /></>}
        {orientation !== "" && <>{orientation}<br /></>}
        {painted.binning > 1 && <>slow page: {painted.binning}×{painted.binning} means<br /></>}
        {painted.eightBit && <>slow page: 8 bit<br /></>}
      </span>
      <span class="corner corner-bl">
        {moved && <span class="moved">C-arm moved since<br /></span>}
        {(shown?.markers ?? null) === null && <>sides unknown<br /></>}
        {shown?.view_text ?? ""}
        {channel === "live" && painted.kind !== "live" && (shown?.label ?? "") !== "" && <><br />{shown?.label}</>}
      </span>
      <span class="corner corner-br">
        {shown !== null && (
          <>
            {fixed(shown.tube_voltage_kv, 0)} kV  {fixed(shown.tube_current_ma, 1)} mA<br />
            {fixed(shown.pulse_width_ms, 1)} ms  {rate(shown.pulse_rate_hz)} p/s
          </>
        )}
        {limited !== null && <span class="moved"><br />limited by<br />{limited}</span>}
      </span>
    </>
  );
}

const rate = (hz: number | null): string => (hz === null ? UNKNOWN : String(Math.round(hz * 100) / 100));
