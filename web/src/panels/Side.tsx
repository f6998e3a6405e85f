/** The right column: the room above, one panel open below; on small windows all of them are tabs. */

import type { FunctionComponent } from "preact";

import { panel, type PanelId } from "../room/state";
import { CArmPanel } from "./CArmPanel";
import { DosePanel } from "./DosePanel";
import { FieldPanel } from "./FieldPanel";
import { GuidancePanel } from "./GuidancePanel";
import { MeasurePanel } from "./MeasurePanel";
import { NeedlePanel } from "./NeedlePanel";
import { PatientPanel } from "./PatientPanel";
import { PicturePanel } from "./PicturePanel";
import { RoomView } from "./RoomView";
import { TechniquePanel } from "./TechniquePanel";

const PANELS: readonly { id: PanelId; name: string; Body: FunctionComponent | null }[] = [
  { id: "room", name: "Room", Body: null },
  { id: "patient", name: "Patient", Body: PatientPanel },
  { id: "carm", name: "C-arm", Body: CArmPanel },
  { id: "needle", name: "Needle", Body: NeedlePanel },
  { id: "guidance", name: "Guidance", Body: GuidancePanel },
  { id: "dose", name: "Dose", Body: DosePanel },
  { id: "technique", name: "Technique", Body: TechniquePanel },
  { id: "field", name: "Field", Body: FieldPanel },
  { id: "picture", name: "Picture", Body: PicturePanel },
  { id: "measure", name: "Measure", Body: MeasurePanel },
];

export function Side() {
  const open = panel.value;
  const Body = PANELS.find((p) => p.id === open)?.Body ?? null;
  return (
    <aside class={`side ${open === "room" ? "side-room" : ""}`} aria-label="Controls">
      <RoomView />
      <div class="tabs" role="tablist" aria-label="Panels">
        {PANELS.map(({ id, name }) => (
          <button type="button" key={id} role="tab" id={`tab-${id}`} aria-selected={open === id} aria-controls="panel"
            class={`tab tab-${id} ${open === id ? "is-on" : ""}`} onClick={() => (panel.value = id)}>{name}</button>
        ))}
      </div>
      <div class="panel" id="panel" role="tabpanel" aria-labelledby={`tab-${open}`}>{Body !== null && <Body />}</div>
    </aside>
  );
}
