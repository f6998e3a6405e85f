/** Something that needs a name, and sometimes a reason. What is missing is said at the field; nothing is sent without. */

import type { ComponentChildren } from "preact";
import { useId, useRef, useState } from "preact/hooks";

import { command } from "../room/room";
import { mayAct, who } from "../room/state";

/** Seen beside a field while the focus is in it. */
export function TypesHint() {
  return <em class="types-hint" aria-hidden="true"><kbd>SPACE</kbd> types</em>;
}

interface SignatureProps {
  readonly label: string;
  /** Asked for beside the name; left out where a name is enough. */
  readonly reason?: string;
  readonly nameLabel?: string;
  readonly choices: readonly { readonly text: string; readonly command: string; readonly args?: Readonly<Record<string, unknown>> }[];
  readonly onDone?: () => void;
  readonly children?: ComponentChildren;
}

export function Signature({ label, reason, nameLabel = "Your name", choices, onDone, children }: SignatureProps) {
  const [why, setWhy] = useState("");
  const [fault, setFault] = useState<{ readonly at: "by" | "reason" | ""; readonly text: string } | null>(null);
  const name = useRef<HTMLInputElement>(null);
  const because = useRef<HTMLInputElement>(null);
  const id = useId();
  const send = (choice: SignatureProps["choices"][number]): void => {
    if (who.peek().trim() === "") {
      setFault({ at: "by", text: "Say who." });
      name.current?.focus();
      return;
    }
    if (reason !== undefined && why.trim() === "") {
      setFault({ at: "reason", text: "Give a reason." });
      because.current?.focus();
      return;
    }
    setFault(null);
    const args = { ...choice.args, by: who.peek().trim(), ...(reason === undefined ? {} : { reason: why.trim() }) };
    void command(choice.command, args).then((reply) => {
      if (!reply.ok) {
        const field = reply.result.field;
        setFault({ at: field === "by" || field === "reason" ? field : "", text: reply.error ?? "refused" });
        return;
      }
      setWhy("");
      // The keys are the pedal's again.
      if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
      onDone?.();
    });
  };
  return (
    <div class="signature" role="group" aria-label={label}>
      <label class="field"><span>{nameLabel} <TypesHint /></span>
        <input ref={name} type="text" maxLength={64} value={who.value} aria-invalid={fault?.at === "by"} aria-describedby={`${id}-fault`}
          onInput={(event) => (who.value = event.currentTarget.value)} />
      </label>
      {reason !== undefined && (
        <label class="field"><span>{reason} <TypesHint /></span>
          <input ref={because} type="text" maxLength={300} value={why} aria-invalid={fault?.at === "reason"} aria-describedby={`${id}-fault`}
            onInput={(event) => setWhy(event.currentTarget.value)} />
        </label>
      )}
      <div class="signature-choices">
        {choices.map((choice) => (
          <button type="button" key={choice.text} class="plain" disabled={!mayAct.value} onClick={() => send(choice)}>{choice.text}</button>
        ))}
        {children}
      </div>
      <p class="fault" id={`${id}-fault`} role="alert">{fault?.text ?? ""}</p>
    </div>
  );
}
