/** Which days one looks at: the menu of periods, the range picker, and the way to the period before or after. */

import { useState } from "preact/hooks";

import { CHOICES, type Period, nameOf, rangeOf, shifted } from "../calendar/periods";
import { LabelledField } from "../parts/form";
import { Icon } from "../parts/icon";
import { Menu } from "../parts/menu";
import { Modal } from "../parts/modal";
import { ViewLink, useView } from "../view/navigation";
import { useSite } from "../view/site";
import { times } from "../words/speech";

/** A period in words, short enough for a button. */
export function periodWords(period: Period, today: string): string {
  const range = rangeOf(period, today);
  const name = nameOf(period);
  if (name !== null || range === "all") return name ?? "All time";
  if (period.name === "month") return times.month(range.from);
  if (period.name === "year") return range.from.slice(0, 4);
  return times.range(range);
}

interface PeriodMenuProps {
  readonly onCustom: () => void;
}

export function PeriodMenu({ onCustom }: PeriodMenuProps) {
  const { view } = useView();
  const { today } = useSite();
  return (
    <div class="period">
      <Step by={-1} />
      <Menu label={<><span>{periodWords(view.period, today)}</span> <Icon name="down" /></>} side="right" class="periods">
        {(close) => (
          <ul>
            {CHOICES.map(({ name, label, key, opensGroup }) => (
              <li key={name} class={opensGroup ? "opens-group" : ""}>
                <ViewLink to={{ period: { name }, interval: null }} current={view.period.name === name} onFollow={close}>
                  {label} <kbd>{key}</kbd>
                </ViewLink>
              </li>
            ))}
            <li class="opens-group">
              <button
                type="button"
                onClick={() => {
                  close();
                  onCustom();
                }}
              >
                Choose days… <kbd>C</kbd>
              </button>
            </li>
          </ul>
        )}
      </Menu>
      <Step by={1} />
    </div>
  );
}

function Step({ by }: { readonly by: -1 | 1 }) {
  const { view } = useView();
  const { today } = useSite();
  const next = shifted(view.period, by, today);
  const label = by < 0 ? "The period before" : "The period after";
  const icon = <Icon name={by < 0 ? "left" : "right"} />;
  if (!next) return <span class="step off">{icon}</span>;
  return (
    <ViewLink to={{ period: next }} class="step" label={`${label}: ${periodWords(next, today)}`} title={`${label}: ${periodWords(next, today)}`}>
      {icon}
    </ViewLink>
  );
}

interface RangeDialogProps {
  readonly title: string;
  readonly from: string;
  readonly to: string;
  readonly onChoose: (from: string, to: string) => void;
  readonly onClose: () => void;
}

/** Two dates, by the browser's own calendar, which keyboards, phones and screen readers know. */
export function RangeDialog({ title, from, to, onChoose, onClose }: RangeDialogProps) {
  const { today } = useSite();
  const [first, setFirst] = useState(from);
  return (
    <Modal title={title} onClose={onClose} class="small">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const fields = new FormData(event.currentTarget);
          onChoose(String(fields.get("from")), String(fields.get("to")));
          onClose();
        }}
      >
        <div class="pair">
          <LabelledField label="First day">
            {(id) => <input id={id} name="from" type="date" required max={today} value={first} onInput={(event) => setFirst(event.currentTarget.value)} />}
          </LabelledField>
          <LabelledField label="Last day">
            {(id) => <input id={id} name="to" type="date" required min={first} max={today} defaultValue={to} />}
          </LabelledField>
        </div>
        <p class="actions">
          <button class="main">Show these days</button>
        </p>
      </form>
    </Modal>
  );
}
