/** The question before the first exposure where the site's rule asks it: answered by name, corrected, or overridden with a reason. */

import { useRef, useState } from "preact/hooks";

import type { Screening } from "../link/dose";
import { mayAct } from "../room/state";
import { focusNext } from "./focus";
import { Signature } from "./Signature";

const ANSWERS = { no: "No", possible: "Possible", yes: "Yes" } as const;

export function ScreeningCard({ screening }: { screening: Screening }) {
  const [correcting, setCorrecting] = useState(false);
  const [emergency, setEmergency] = useState(false);
  const place = useRef<HTMLElement>(null);
  const correct = (now: boolean): void => {
    setCorrecting(now);
    focusNext(place, now ? ".screening-question" : ".screening-answer .link");
  };
  const overriding = (now: boolean): void => {
    setEmergency(now);
    focusNext(place, now ? ".screening-override input" : ".screening-emergency");
  };
  const { answer, override } = screening;
  const asking = answer === null || correcting;
  return (
    <section class={`screening ${screening.blocks ? "is-blocking" : ""}`} aria-label="Pregnancy" ref={place}>
      {screening.blocks && <p class="screening-state"><strong>No permission to expose</strong>{screening.why !== "" && <span>{screening.why}</span>}</p>}
      {asking ? (
        <>
          <p class="screening-question" tabIndex={-1}>{screening.question}</p>
          <Signature label={screening.question} nameLabel="Asked by" onDone={() => setCorrecting(false)}
            choices={(["no", "possible", "yes"] as const).map((one) => ({ text: ANSWERS[one], command: "screening_answer", args: { answer: one } }))} />
        </>
      ) : (
        <p class="screening-answer">
          <span>{screening.question} <strong>{ANSWERS[answer]}</strong>{screening.by !== null && <>, asked by <bdi>{screening.by}</bdi></>}</span>
          <button type="button" class="link" disabled={!mayAct.value} onClick={() => correct(true)}>Correct the answer</button>
        </p>
      )}
      {correcting && <button type="button" class="link" onClick={() => correct(false)}>Keep the answer</button>}
      {override !== null && <p class="hint">X-ray allowed by <bdi>{override.by}</bdi>: <bdi>{override.reason}</bdi></p>}
      {screening.blocks && (emergency || (answer !== null && answer !== "no") ? (
        <div class="screening-override"><Signature label="X-ray with a reason" reason={answer === null ? "Reason of the emergency" : "Reason"}
          choices={[{ text: "Allow X-ray", command: "screening_override" }]} onDone={() => setEmergency(false)}>
          {emergency && <button type="button" class="link" onClick={() => overriding(false)}>Back</button>}
        </Signature></div>
      ) : <button type="button" class="link screening-emergency" disabled={!mayAct.value} onClick={() => overriding(true)}>Emergency: X-ray without the answer…</button>)}
    </section>
  );
}
