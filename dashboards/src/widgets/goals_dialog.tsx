/** Goals: what is there, a form for another, and one for changing. */

import { useState } from "preact/hooks";

import { type Goal, removeSetup, saveSetup } from "../api/setup";
import { Form, LabelledField } from "../parts/form";
import { Icon } from "../parts/icon";
import { Modal } from "../parts/modal";
import { useSite } from "../view/site";

interface GoalsDialogProps {
  readonly goals: readonly Goal[];
  readonly onClose: () => void;
}

/** A goal in words. */
export function goalWords(goal: Goal): string {
  switch (goal.kind) {
    case "event":
      return `Event ${goal.event_name}`;
    case "page":
      return `View of ${goal.page_pattern}`;
    case "scroll":
      return `${goal.page_pattern} read ${goal.scroll_percent}% deep`;
  }
}

export function GoalsDialog({ goals, onClose }: GoalsDialogProps) {
  const { shell } = useSite();
  const [edited, setEdited] = useState<Goal | "new" | null>(goals.length === 0 ? "new" : null);
  if (edited !== null) {
    const goal = edited === "new" ? null : edited;
    return (
      <Modal title={goal ? `Change ${goal.display_name}` : "Add a goal"} onClose={onClose} class="small">
        <GoalForm goal={goal} onDone={() => (goals.length === 0 ? onClose() : setEdited(null))} />
      </Modal>
    );
  }
  return (
    <Modal title="Goals" onClose={onClose} class="small">
      <ul class="kept">
        {goals.map((goal) => (
          <li key={goal.goal_id}>
            <span>
              <b>{goal.display_name}</b> <small>{goalWords(goal)}{goal.currency && ` · ${goal.currency}`}</small>
            </span>
            <button type="button" class="bare" aria-label={`Change ${goal.display_name}`} onClick={() => setEdited(goal)}>
              <Icon name="edit" />
            </button>
            <button
              type="button"
              class="bare"
              aria-label={`Remove ${goal.display_name}`}
              onClick={() => confirm(`Remove the goal ${goal.display_name}? Its events stay.`) && void removeSetup(shell.domain, "goals", goal.goal_id)}
            >
              <Icon name="bin" />
            </button>
          </li>
        ))}
      </ul>
      <p class="actions">
        <button type="button" class="main" onClick={() => setEdited("new")}>
          Add a goal
        </button>
      </p>
    </Modal>
  );
}

const KINDS: readonly (readonly [Goal["kind"], string])[] = [
  ["event", "A custom event"],
  ["page", "A page that was seen"],
  ["scroll", "A page that was read so far"],
];

/** What Plausible calls such a goal. */
function usualName(kind: Goal["kind"], text: (name: string) => string): string {
  switch (kind) {
    case "event":
      return text("event_name");
    case "page":
      return `Visit ${text("page_pattern")}`;
    case "scroll":
      return `Scroll ${text("scroll_percent")}% on ${text("page_pattern")}`;
  }
}

function GoalForm({ goal, onDone }: { readonly goal: Goal | null; readonly onDone: () => void }) {
  const { shell } = useSite();
  const [kind, setKind] = useState<Goal["kind"]>(goal?.kind ?? "event");
  const save = async (fields: FormData): Promise<void> => {
    const text = (name: string): string => String(fields.get(name) ?? "").trim();
    const body = {
      kind,
      display_name: text("display_name") || usualName(kind, text),
      event_name: kind === "event" ? text("event_name") : "",
      page_pattern: kind === "event" ? "" : text("page_pattern"),
      scroll_percent: kind === "scroll" ? Number(text("scroll_percent")) : 0,
      currency: text("currency").toUpperCase(),
    };
    await saveSetup(shell.domain, "goals", body, goal?.goal_id);
    onDone();
  };
  return (
    <Form verb={goal ? "Save" : "Add the goal"} onSubmit={save}>
      <fieldset>
        <legend>What counts</legend>
        {KINDS.map(([value, label]) => (
          <label key={value} class="choice">
            <input type="radio" name="kind" value={value} checked={kind === value} onChange={() => setKind(value)} /> {label}
          </label>
        ))}
      </fieldset>
      {kind === "event" ? (
        <LabelledField label="Name of the event" hint="As your pages send it, such as Signup; * stands for any text.">
          {(id) => <input id={id} name="event_name" required maxLength={120} defaultValue={goal?.event_name} autocomplete="off" />}
        </LabelledField>
      ) : (
        <LabelledField label="Path of the page" hint="Such as /thanks or /blog/*; * stands for any text.">
          {(id) => <input id={id} name="page_pattern" required maxLength={2000} defaultValue={goal?.page_pattern} autocomplete="off" />}
        </LabelledField>
      )}
      {kind === "scroll" && (
        <LabelledField label="Read at least, in percent">
          {(id) => <input id={id} name="scroll_percent" type="number" min={1} max={100} required defaultValue={goal?.scroll_percent || 75} />}
        </LabelledField>
      )}
      <LabelledField label="What to call it" hint="Left empty, it is called after what counts.">
        {(id) => <input id={id} name="display_name" maxLength={120} defaultValue={goal?.display_name} autocomplete="off" />}
      </LabelledField>
      {kind === "event" && (
        <LabelledField label="Currency, if its events carry amounts" hint="Three letters, such as EUR.">
          {(id) => <input id={id} name="currency" pattern="[A-Za-z]{3}" maxLength={3} defaultValue={goal?.currency} autocomplete="off" />}
        </LabelledField>
      )}
    </Form>
  );
}
