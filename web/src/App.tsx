/** The fluoroscopy room: monitors, tools, film, dose, and the right column. */

import { DoseBar } from "./panels/DoseBar";
import { BudgetDialog } from "./panels/DoseRules";
import { Filmstrip } from "./panels/Filmstrip";
import { GuidanceBar } from "./panels/GuidanceBar";
import { Help } from "./panels/Dialogs";
import { Messages } from "./panels/Messages";
import { OutsideDialog } from "./panels/History";
import { MonitorView } from "./panels/MonitorView";
import { Patients } from "./panels/Patients";
import { Side } from "./panels/Side";
import { Toolbar } from "./panels/Toolbar";
import { TopBar } from "./panels/TopBar";
import { guides } from "./room/guidancewords";
import { narrow, status } from "./room/state";

export function App() {
  const guided = guides(status.value?.guidance) && !narrow.value;
  return (
    <div class={`app ${narrow.value ? "is-narrow" : ""} ${guided ? "is-guided" : ""}`}>
      <TopBar />
      <main class="monitors">
        <MonitorView channel="live" />
        <MonitorView channel="reference" />
      </main>
      {guided && <GuidanceBar />}
      <Toolbar />
      <Filmstrip />
      <Side />
      <DoseBar />
      <Messages />
      <Help />
      <Patients />
      <OutsideDialog />
      <BudgetDialog />
    </div>
  );
}
