/** A patient made to measure: fields and ranges as the room offers them, faults said at the field they are about. */

import { useEffect, useRef, useState } from "preact/hooks";

import type { MakingChoices } from "../link/types";
import { link } from "../room/room";
import { status } from "../room/state";

interface Abnormality {
  readonly key: number;
  readonly kind: string;
  readonly level: string;
  readonly amount: string;
}

interface Fault {
  readonly field: string;
  readonly text: string;
}

/** The two that are sent in other ways than the rest. */
const OWN = new Set(["seed", "pregnancy_weeks"]);
const LARGEST_SEED = 99_999;

function useChoices(): MakingChoices | null | "failed" {
  const [choices, setChoices] = useState<MakingChoices | null | "failed">(null);
  useEffect(() => {
    void fetch("/room/making.json")
      .then((answer) => (answer.ok ? (answer.json() as Promise<MakingChoices>) : Promise.reject(new Error("no choices"))))
      .then(setChoices, () => setChoices("failed"));
  }, []);
  return choices;
}

const numberOf = (text: string): number | null => (text.trim() === "" ? null : Number(text));

export function MakePatient({ onBack, onDone }: { onBack: () => void; onDone: () => void }) {
  const choices = useChoices();
  const making = status.value?.making ?? null;
  const begun = useRef(false);
  if (making !== null) begun.current = true;
  // When the room is done the new patient lies on the table.
  useEffect(() => {
    if (making === null && begun.current) onDone();
  }, [making === null]);
  if (choices === "failed") return <p class="hint limited" role="alert">The room does not say what can be made.</p>;
  if (choices === null) return <p class="hint">One moment…</p>;
  if (making !== null) return <Progress text={making.text} fraction={making.fraction} onDone={onDone} />;
  return <Form choices={choices} onBack={onBack} onDone={onDone} />;
}

function Progress({ text, fraction, onDone }: { text: string; fraction: number | null; onDone: () => void }) {
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => button.current?.focus(), []);
  return (
    <div class="progress" role="status">
      <p>Making the patient: {text}</p>
      <progress aria-label="Progress" max={1} {...(fraction === null ? {} : { value: fraction })} />
      <p class="hint">He comes onto the table when he is ready; this exam is closed then. The room can be used until then.</p>
      <button ref={button} type="button" class="plain" onClick={onDone}>To the room</button>
    </div>
  );
}

function Form({ choices, onBack, onDone }: { choices: MakingChoices; onBack: () => void; onDone: () => void }) {
  const [sex, setSex] = useState<"female" | "male">("female");
  const [seed, setSeed] = useState(() => String(Math.floor(Math.random() * LARGEST_SEED)));
  const [weeks, setWeeks] = useState("");
  const [values, setValues] = useState<Readonly<Record<string, string>>>(() =>
    Object.fromEntries(choices.fields.map((f) => [f.name, f.default === null ? "" : String(f.default)])));
  const [abnormal, setAbnormal] = useState<readonly Abnormality[]>([]);
  const [fault, setFault] = useState<Fault | null>(null);
  const form = useRef<HTMLFormElement>(null);
  const nextKey = useRef(1);
  useEffect(() => {
    if (fault !== null) form.current?.querySelector<HTMLElement>("[aria-invalid=true]")?.focus();
  }, [fault]);

  const submit = (): void => {
    const recipe: Record<string, unknown> = { sex, seed: numberOf(seed) ?? 0 };
    for (const field of choices.fields) {
      const value = numberOf(values[field.name] ?? "");
      if (value !== null && !OWN.has(field.name)) recipe[field.name] = value;
    }
    if (sex === "female" && weeks !== "") recipe.pregnancy_weeks = numberOf(weeks);
    recipe.pathologies = abnormal.map(({ kind, level, amount }) => {
      const known = choices.pathologies.find((p) => p.kind === kind);
      return { kind, level: known?.needs_level === true ? level : "", amount: numberOf(amount) ?? known?.default ?? 0 };
    });
    setFault(null);
    void link.command("make_patient", recipe).then((reply) => {
      if (reply.ok) return;
      const field = typeof reply.result.field === "string" ? reply.result.field : "";
      const text = reply.error ?? "this patient was refused";
      // Under its own field a name the page does not show would only puzzle.
      setFault({ field, text: text.startsWith(`${field} `) ? text.slice(field.length + 1) : text });
    });
  };
  const faultOf = (name: string): string | null => (fault?.field === name ? fault.text : null);
  const shown = new Set(["sex", "seed", "pathology", ...(sex === "female" ? ["pregnancy_weeks"] : []), ...choices.fields.map((f) => f.name)]);
  return (
    <form ref={form} class="make" noValidate onSubmit={(event) => {
      event.preventDefault();
      submit();
    }}>
      <p class="hint">What is left empty is drawn from the seed. The same seed and the same values make the same patient on every computer. He is synthetic, and says so.</p>
      <div class="make-grid">
        <label class="field"><span>Sex</span>
          <select aria-label="Sex" value={sex} onChange={(event) => setSex(event.currentTarget.value === "male" ? "male" : "female")}>
            <option value="female">female</option><option value="male">male</option>
          </select>
        </label>
        {choices.fields.filter((field) => !OWN.has(field.name)).map((field) => (
          <NumberField key={field.name} name={field.name} label={field.label} unit={field.unit} min={field.min} max={field.max} step={field.step}
            optional={field.default === null} value={values[field.name] ?? ""} fault={faultOf(field.name)}
            onSet={(text) => setValues({ ...values, [field.name]: text })} />
        ))}
        {sex === "female" && (
          <NumberField name="pregnancy_weeks" label="Pregnant" unit="weeks" min={8} max={40} step={1} optional emptyText="not pregnant"
            value={weeks} fault={faultOf("pregnancy_weeks")} onSet={setWeeks} />
        )}
        <div class="field-row">
          <NumberField name="seed" label="Seed" unit="" min={0} max={LARGEST_SEED} step={1} value={seed} fault={faultOf("seed")} onSet={setSeed} />
          <button type="button" class="plain dice" title="another seed" aria-label="Roll another seed" onClick={() => setSeed(String(Math.floor(Math.random() * LARGEST_SEED)))}>⚄</button>
        </div>
      </div>
      <h3>Abnormalities</h3>
      <ul class="abnormal">
        {abnormal.map((one) => (
          <AbnormalRow key={one.key} one={one} choices={choices}
            onSet={(changed) => setAbnormal(abnormal.map((other) => (other.key === one.key ? changed : other)))}
            onRemove={() => setAbnormal(abnormal.filter((other) => other.key !== one.key))} />
        ))}
      </ul>
      {faultOf("pathology") !== null && <p class="fault" role="alert">{fault?.text}</p>}
      <button type="button" class="plain" onClick={() => {
        const kind = choices.pathologies[0];
        if (kind === undefined) return;
        setAbnormal([...abnormal, { key: nextKey.current++, kind: kind.kind, level: "L4", amount: String(kind.default) }]);
      }}>Add an abnormality</button>
      {fault !== null && !shown.has(fault.field) && <p class="fault" role="alert">{fault.text}</p>}
      {sex === "female" && weeks !== "" && <p class="hint limited">Pregnant: X-ray needs a documented reason.</p>}
      <div class="form-end">
        <button type="button" class="plain" onClick={onBack}>Back to the patients</button>
        <button type="submit" class="accent">Make this patient</button>
        <button type="button" class="plain" onClick={onDone}>Cancel</button>
      </div>
    </form>
  );
}

interface NumberFieldProps {
  readonly name: string;
  readonly label: string;
  readonly unit: string;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly optional?: boolean;
  readonly emptyText?: string;
  readonly value: string;
  readonly fault: string | null;
  readonly onSet: (text: string) => void;
}

function NumberField({ name, label, unit, min, max, step, optional, emptyText, value, fault, onSet }: NumberFieldProps) {
  const note = `${min} to ${max}${unit === "" ? "" : ` ${unit}`}`;
  return (
    <label class="field">
      <span>{label}{unit !== "" && <small>{unit}</small>}</span>
      <input type="number" aria-label={`${label}${unit === "" ? "" : `, ${unit}`}`} aria-describedby={`about-${name}`} aria-invalid={fault !== null}
        min={min} max={max} step={step} value={value} placeholder={optional === true ? (emptyText ?? "from seed") : ""}
        onInput={(event) => onSet(event.currentTarget.value)} />
      <span id={`about-${name}`} class={fault === null ? "field-note" : "fault"} {...(fault === null ? {} : { role: "alert" })}>{fault ?? note}</span>
    </label>
  );
}

function AbnormalRow({ one, choices, onSet, onRemove }: { one: Abnormality; choices: MakingChoices; onSet: (one: Abnormality) => void; onRemove: () => void }) {
  const known = choices.pathologies.find((p) => p.kind === one.kind);
  if (known === undefined) return null;
  return (
    <li>
      <select aria-label="Abnormality" value={one.kind} onChange={(event) => {
        const chosen = choices.pathologies.find((p) => p.kind === event.currentTarget.value);
        if (chosen !== undefined) onSet({ ...one, kind: chosen.kind, amount: String(chosen.default) });
      }}>
        {choices.pathologies.map((p) => <option key={p.kind} value={p.kind}>{p.label}</option>)}
      </select>
      {known.needs_level ? (
        <select aria-label="Level" value={one.level} onChange={(event) => onSet({ ...one, level: event.currentTarget.value })}>
          {choices.levels.map((level) => <option key={level} value={level}>{level}</option>)}
        </select>
      ) : <span class="field-note">whole spine</span>}
      <input type="number" aria-label={`Amount, ${known.amount}`} min={known.min} max={known.max} step="any" value={one.amount}
        onInput={(event) => onSet({ ...one, amount: event.currentTarget.value })} />
      <span class="field-note">{known.min} to {known.max}: {known.amount}</span>
      <button type="button" class="fine" aria-label={`Remove ${known.label}`} onClick={onRemove}>×</button>
    </li>
  );
}
