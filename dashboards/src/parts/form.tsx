/** A form that saves over the API: one sentence of what is wrong, and no second click while it is under way. */

import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";

import { ApiError } from "../api/client";

interface FormProps {
  readonly verb: string;
  readonly onSubmit: (fields: FormData) => Promise<void>;
  readonly children: ComponentChildren;
  readonly class?: string;
}

export function Form({ verb, onSubmit, children, ...props }: FormProps) {
  const [isSaving, setSaving] = useState(false);
  const [error, setError] = useState("");
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    setSaving(true);
    setError("");
    try {
      await onSubmit(new FormData(form));
    } catch (failure) {
      if (!(failure instanceof ApiError)) throw failure;
      setError(failure.message);
    } finally {
      setSaving(false);
    }
  };
  return (
    <form class={props.class ?? ""} onSubmit={(event) => void submit(event)}>
      {children}
      {error && (
        <p class="error" role="alert">
          {error}
        </p>
      )}
      <p class="actions">
        <button class="main" disabled={isSaving}>
          {verb}
        </button>
      </p>
    </form>
  );
}

interface FieldProps {
  readonly label: string;
  readonly hint?: string;
  readonly children: (id: string) => ComponentChildren;
}

/** A label, what belongs to it, and a hint. */
export function LabelledField({ label, hint, children }: FieldProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(id)}
      {hint && <p class="hint">{hint}</p>}
    </div>
  );
}
