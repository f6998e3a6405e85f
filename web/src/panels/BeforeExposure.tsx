/** On the empty LIVE monitor: the question that must be answered, and what is known of the patient. It blocks nothing else. */

import { historyLines } from "../room/dosewords";
import { everExposed, mayAct, status } from "../room/state";
import { HistoryWords } from "./History";
import { ScreeningCard } from "./Screening";

export function BeforeExposure() {
  const now = status.value;
  const history = now?.history ?? null;
  const screening = now?.dose.control?.screening ?? null;
  const asks = screening?.needed === true;
  const tells = history !== null && (history.outside.length > 0 || history.exams > 0 || (history.trouble ?? "") !== "" || historyLines(history).length > 0);
  return (
    <div class="before">
      {!everExposed.value && !asks && (
        <div class="first-card">
          <p>Hold <kbd>SPACE</kbd> for X-ray.</p>
          <p>Drag the C-arm.</p>
          <p>Press <kbd>?</kbd> for keys.</p>
        </div>
      )}
      {everExposed.value && !asks && <p class="empty-line">No image yet.</p>}
      {now !== null && (asks || tells) && (
        <div class="before-card" aria-label="Before the first exposure" role="group">
          {asks && <ScreeningCard screening={screening} />}
          {history !== null && (
            <section aria-label="History">
              <h3>Before this exam{mayAct.value ? "" : " (watching)"}</h3>
              <HistoryWords history={history} short />
            </section>
          )}
        </div>
      )}
    </div>
  );
}

/** Put the focus on the question, on the empty monitor or in the Dose tab. */
export function askScreening(openTab: () => void): void {
  const find = (): HTMLElement | null => document.querySelector<HTMLElement>(".before .screening input, .before .screening .link, .dose-panel .screening input, .dose-panel .screening .link");
  const here = find();
  if (here !== null) {
    here.focus();
    return;
  }
  openTab();
  requestAnimationFrame(() => requestAnimationFrame(() => find()?.focus()));
}
