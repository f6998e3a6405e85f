/** The fluoroscopy room: monitors, tools, film, dose, and the right column. */

import { DoseBar } from "./panels/DoseBar";
import { BudgetDialog } from "./panels/DoseRules";
import { Filmstrip } from "./panels/Filmstrip";
import { Help } from "./panels/Dialogs";
import { Messages } from "./panels/Messages";
import { OutsideDialog } from "./panels/History";
import { MonitorView } from "./panels/MonitorView";
import { Patients } from "./panels/Patients";
import { Side } from "./panels/Side";
import { Toolbar } from "./panels/Toolbar";
import { TopBar } from "./panels/TopBar";
import { narrow } from "./room/state";

export function App() {
  return (
    <div class={`app ${narrow.value ? "is-narrow" : ""}`}>
      <TopBar />
      <main class="monitors">
        <MonitorView channel="live" />
        <MonitorView channel="reference" />
      </main>
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
