/** What comes: this case beside a typical one, the next alert, and the cheapest saving. An open alert stands in its place. */

import type { Advice, Budget } from "../link/dose";
import { alertWords } from "../room/dosealerts";
import { adviceText, BUDGET_NEAR, budgetText, leadingRow, nextAlertText, paceText } from "../room/dosewords";
import { act } from "../room/room";
import * as s from "../room/state";
import { PaceBar } from "./Pace";
import { TypesHint } from "./Signature";

export function Outlook() {
  const dose = s.readable.value?.dose ?? null;
  const control = s.status.value?.dose.control ?? null;
  const alerts = s.status.value?.dose.alerts;
  const words = alertWords(alerts);
  const upTo = alerts?.up_to ?? null;
  if (dose === null || (control === null && words === null)) return null;
  const row = leadingRow(dose.control?.pace);
  return (
    <div class="outlook">
      <p class="outlook-pace">{row !== null && <><PaceBar row={row} /><span>{paceText(row)}</span></>}</p>
      {words !== null && upTo !== null
        ? <Alert headline={words.headline} whole={words.whole} substantial={words.substantial} upTo={upTo} />
        : (
          <>
            <NextLevel budget={control?.budget ?? null} text={nextAlertText(dose.alerts?.next)} />
            <Saving advice={control?.advice ?? null} />
          </>
        )}
    </div>
  );
}

/** The budget, once it is near, has the line of the next level. */
function NextLevel({ budget, text }: { budget: Budget | null; text: string }) {
  const near = budget !== null && (budget.fraction ?? 0) >= BUDGET_NEAR;
  return <p class={`outlook-next ${near ? "is-near-budget" : ""}`} title={text}>{near ? budgetText(budget) : text}</p>;
}

function Saving({ advice }: { advice: Advice | null }) {
  if (advice === null) return <p class="outlook-advice" />;
  const { command } = advice;
  const { what, saves } = adviceText(advice);
  return (
    <p class="outlook-advice" title={advice.text}>
      <span class="advice-text">{what}{saves !== "" && <>: <strong>{saves}</strong></>}</span>
      {command !== null && (
        <button type="button" aria-label={`Do it: ${what}`} disabled={!s.mayAct.value} onClick={(event) => {
          act(command.name, command.args);
          // The keys are the pedal's again.
          event.currentTarget.blur();
        }}>Do it</button>
      )}
    </p>
  );
}

/** Beside the next step, never in its place: an alert does not take the pedal away. */
function Alert({ headline, whole, substantial, upTo }: { headline: string; whole: string; substantial: boolean; upTo: string }) {
  const seen = (event: Event) => {
    event.preventDefault();
    act("dose_alerts_seen", { by: s.who.value, up_to: upTo });
    if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
  };
  return (
    <form class={`dose-alert${substantial ? " is-substantial" : ""}`} onSubmit={seen} title={whole}>
      <strong role="status">{headline}</strong>
      <span>
        <input type="text" aria-label="Your name" placeholder="Your name" maxLength={64} required pattern=".*\S.*"
          value={s.who.value} onInput={(event) => { s.who.value = event.currentTarget.value; }} />
        <button type="submit" aria-label="Acknowledge the dose alert" disabled={!s.mayAct.value}>Acknowledge</button>
        <TypesHint />
      </span>
    </form>
  );
}
