/** The image chain and the display window. */

import { act } from "../room/room";
import { NUDGE_MS, throttled } from "../room/movement";
import { mayAct, monitors, recorded, status, updateMonitor } from "../room/state";
import { Slider } from "./Sliders";

const setRecursion = throttled((k: number) => act("set_chain", { recursion: k }), NUDGE_MS);

export function PicturePanel() {
  const now = status.value;
  if (now === null) return null;
  return (
    <>
      {recorded.value ? <p class="hint">A recorded clip is shown as it was stored, not filtered again.</p> : (
        <>
          <Slider label="New image weight" unit="" value={now.chain.recursion} min={0.05} max={1} step={0.05} disabled={!mayAct.value}
            onSet={(k) => setRecursion(Math.round(k * 100) / 100)} />
          <p class="hint">1 shows every image alone; smaller values average over time: less noise, more trails.</p>
        </>
      )}
      {(["live", "reference"] as const).map((channel) => {
        const { window, runWindow } = monitors[channel].value;
        const use = window ?? runWindow;
        if (use === null) return null;
        return (
          <div key={channel}>
            <h3>{channel === "live" ? "Live window" : "Reference window"}</h3>
            <Slider label="Width" unit="" value={Math.round(use.width)} min={2} max={65536} step={1} fine={500} disabled={false}
              onSet={(width) => updateMonitor(channel, { window: { ...use, width } })} />
            <Slider label="Level" unit="" value={Math.round(use.center)} min={0} max={65535} step={1} fine={500} disabled={false}
              onSet={(center) => updateMonitor(channel, { window: { ...use, center } })} />
            <div class="views">
              <button type="button" disabled={window === null} onClick={() => updateMonitor(channel, { window: null })}>Window of the run</button>
            </div>
          </div>
        );
      })}
    </>
  );
}
