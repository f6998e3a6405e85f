/** Limits, high-level control and the budget of this case. */

import { useRef, useState } from "preact/hooks";

import type { Budget, DoseLimits } from "../link/dose";
import { amountText, BUDGET_NEAR, budgetText, percentText, shortName } from "../room/dosewords";
import { adaptive } from "../room/format";
import { act, command } from "../room/room";
import { doseDialog, exposing, mayAct, status } from "../room/state";
import { Dialog } from "./Dialogs";
import { focusNext } from "./focus";
import { Signature } from "./Signature";

export function Limits({ limits }: { limits: DoseLimits }) {
  const [asked, setAsked] = useState(false);
  const place = useRef<HTMLElement>(null);
  const ask = (now: boolean): void => {
    setAsked(now);
    focusNext(place, now ? ".confirm-block" : ".limits-ask");
  };
  const limit = limits.limit_mgy_min;
  return (
    <section class="limits" aria-label="Rate limit" ref={place}>
      <p class="line"><span>Rate limit {limits.high_level && <span class="badge badge-amber">high-level control on</span>}</span>
        <strong>{amountText(limit, "mGy/min")}</strong></p>
      <p class="hint">{adaptive(limits.rate_mgy_min)} mGy/min with this technique, {limits.at}</p>
      {limits.high_level ? (
        <button type="button" class="plain" disabled={!mayAct.value} onClick={() => act("high_level", { on: false })}>End high-level control</button>
      ) : asked ? (
        <div class="confirm-block" role="group" aria-label="High-level control?" tabIndex={-1}>
          <p>Above the ordinary limit, with a sound as long as X-ray is on. Only while the picture is not enough.</p>
          <div class="signature-choices">
            <button type="button" class="plain is-warning" disabled={!mayAct.value || exposing.value} onClick={() => {
              setAsked(false);
              act("high_level", { on: true });
            }}>Turn high level on</button>
            <button type="button" class="plain" onClick={() => ask(false)}>Stay ordinary</button>
          </div>
        </div>
      ) : (
        <button type="button" class="plain limits-ask" disabled={!mayAct.value || exposing.value} onClick={() => ask(true)}>High-level control…</button>
      )}
    </section>
  );
}

const QUANTITIES = [
  { name: "kap", text: "KAP", unit: "Gy·cm²" },
  { name: "air_kerma", text: "air kerma", unit: "mGy" },
  { name: "fluoroscopy_time", text: "fluoroscopy time", unit: "s" },
] as const;

export function BudgetSection({ budget }: { budget: Budget | null }) {
  return (
    <section class="budget" aria-label="Dose budget">
      {budget === null ? <p class="hint">No budget is set for this case.</p> : (
        <>
          <p class="line"><span>{shortName(budget.quantity, budget.words)}</span><strong>{amountText(budget.value, budget.unit)}</strong></p>
          <progress class={(budget.fraction ?? 0) >= BUDGET_NEAR ? "is-near" : ""} max={1} value={Math.min(1, budget.fraction ?? 0)} aria-label={budgetText(budget)} />
          <p class="hint">{budgetText(budget)}</p>
          {budget.overruled !== null && <p class="hint">Reason: <bdi>{budget.overruled.reason}</bdi></p>}
          {budget.stopped && <button type="button" class="plain is-warning" disabled={!mayAct.value} onClick={() => (doseDialog.value = "budget")}>Budget spent: decide…</button>}
        </>
      )}
      <BudgetForm budget={budget} />
    </section>
  );
}

function BudgetForm({ budget }: { budget: Budget | null }) {
  const [quantity, setQuantity] = useState<string>(budget?.quantity ?? "kap");
  const [limit, setLimit] = useState("");
  const [fault, setFault] = useState("");
  const of = QUANTITIES.find((one) => one.name === quantity) ?? QUANTITIES[0];
  return (
    <form class="budget-form" aria-label="Set a budget" onSubmit={(event) => {
      event.preventDefault();
      const wanted = Number(limit.replace(",", "."));
      if (limit.trim() === "" || !Number.isFinite(wanted) || wanted <= 0) {
        setFault(`Give a number above 0, in ${of.unit}.`);
        return;
      }
      void command("set_budget", { quantity: of.name, limit: wanted }).then((reply) => {
        setFault(reply.ok ? "" : (reply.error ?? "refused"));
        if (!reply.ok) return;
        setLimit("");
        if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
      });
    }}>
      <select aria-label="Budget of" value={quantity} disabled={!mayAct.value} onChange={(event) => {
        setQuantity(event.currentTarget.value);
        event.currentTarget.blur();
      }}>{QUANTITIES.map(({ name, text }) => <option key={name} value={name}>{text}</option>)}</select>
      <input type="text" inputMode="decimal" aria-label={`Budget, ${of.unit}`} placeholder={of.unit} value={limit} disabled={!mayAct.value} onInput={(event) => setLimit(event.currentTarget.value)} />
      <button type="submit" class="plain" disabled={!mayAct.value}>Set</button>
      {budget !== null && <button type="button" class="plain budget-remove" disabled={!mayAct.value} onClick={() => act("set_budget", { quantity: budget.quantity, limit: null })}>Remove</button>}
      <p class="fault" role="alert">{fault}</p>
    </form>
  );
}

/** The budget is spent: go on with a name and a reason, give more, or leave it. */
export function BudgetDialog() {
  const budget = status.value?.dose.control?.budget ?? null;
  if (doseDialog.value !== "budget" || budget === null) return null;
  const close = (): void => void (doseDialog.value = null);
  return (
    <Dialog title="The dose budget of this case is spent" onClose={close}>
      <p class="budget-spent"><strong>{amountText(budget.value, budget.unit)}</strong> of {amountText(budget.limit, budget.unit)} {budget.words} ({percentText(budget.fraction ?? 0)}). X-ray is stopped.</p>
      <h3>Go on above the budget</h3>
      <Signature label="Overrule the budget" reason="Reason" choices={[{ text: "Overrule", command: "budget_overrule" }]} onDone={close} />
      <h3>Or give this case another budget</h3>
      <BudgetForm budget={budget} />
    </Dialog>
  );
}
