/** One filter, made or changed: what it is about, how it compares, and its values, which the site's own figures suggest. */

import { useEffect, useId, useState } from "preact/hooks";

import { useQuery } from "../api/use_query";
import { DIMENSION_NAMES, dimensionOf, isDimension, propertyDimension, propertyKey } from "../dimensions";
import { LabelledField } from "../parts/form";
import { Icon } from "../parts/icon";
import { Modal } from "../parts/modal";
import { type Filter, OPERATIONS, OPERATION_WORDS, type Operation } from "../view/filters";
import { useView } from "../view/navigation";
import { names, numbers } from "../words/speech";

interface FilterDialogProps {
  /** Which filter of the view is changed; null for another one. */
  readonly editedAt: number | null;
  readonly onClose: () => void;
}

const EMPTY: Filter = { operation: "is", dimension: "page", values: [] };

/** The API knows goals and codes only whole. */
const WHOLE_VALUES: readonly Operation[] = ["is", "is_not"];

function operationsFor(dimension: string): readonly Operation[] {
  const { kind } = dimensionOf(dimension);
  return dimension === "goal" || kind === "country" || kind === "language" ? WHOLE_VALUES : OPERATIONS;
}

export function FilterDialog({ editedAt, onClose }: FilterDialogProps) {
  const { view, go } = useView();
  const [filter, setFilter] = useState<Filter>(editedAt === null ? EMPTY : (view.filters[editedAt] ?? EMPTY));
  const [typed, setTyped] = useState("");
  const key = propertyKey(filter.dimension);
  const takesAny = !WHOLE_VALUES.includes(filter.operation);
  // What was typed and not yet taken over is meant too.
  const values = typed.trim() && takesAny ? [...filter.values, typed.trim()] : filter.values;

  const choose = (dimension: string): void => {
    const operation = operationsFor(dimension).includes(filter.operation) ? filter.operation : "is";
    setFilter({ operation, dimension, values: [] });
    setTyped("");
  };
  const add = (value: string): void => {
    setFilter({ ...filter, values: [...new Set([...filter.values, value])] });
    setTyped("");
  };
  const apply = (event: Event): void => {
    event.preventDefault();
    if (values.length === 0) return;
    const made = { ...filter, values };
    const filters = editedAt === null ? [...view.filters, made] : view.filters.map((each, at) => (at === editedAt ? made : each));
    go({ filters });
    onClose();
  };

  return (
    <Modal title={editedAt === null ? "Filter" : "Change the filter"} onClose={onClose} class="small">
      <form onSubmit={apply}>
        <div class="pair">
          <LabelledField label="What">
            {(id) => (
              <select id={id} value={key === null ? filter.dimension : "prop"} onChange={(event) => choose(event.currentTarget.value === "prop" ? propertyDimension("name") : event.currentTarget.value)}>
                {DIMENSION_NAMES.map((name) => (
                  <option key={name} value={name}>
                    {dimensionOf(name).label}
                  </option>
                ))}
                <option value="prop">Property…</option>
              </select>
            )}
          </LabelledField>
          <LabelledField label="How">
            {(id) => (
              <select id={id} value={filter.operation} onChange={(event) => setFilter({ ...filter, operation: event.currentTarget.value as Operation })}>
                {operationsFor(filter.dimension).map((operation) => (
                  <option key={operation} value={operation}>
                    {OPERATION_WORDS[operation]}
                  </option>
                ))}
              </select>
            )}
          </LabelledField>
        </div>
        {key !== null && (
          <LabelledField label="Name of the property">
            {(id) => (
              <input
                id={id}
                value={key}
                required
                maxLength={300}
                autocomplete="off"
                onChange={(event) => isDimension(propertyDimension(event.currentTarget.value)) && choose(propertyDimension(event.currentTarget.value))}
              />
            )}
          </LabelledField>
        )}
        <Values filter={filter} typed={typed} takesAny={takesAny} onType={setTyped} onAdd={add} onRemove={(value) => setFilter({ ...filter, values: filter.values.filter((each) => each !== value) })} />
        <p class="actions">
          <button class="main" disabled={values.length === 0}>
            Apply
          </button>
          <small class="soft">{values.length > 0 ? names.filter({ ...filter, values }) : "Choose at least one value."}</small>
        </p>
      </form>
    </Modal>
  );
}

interface ValuesProps {
  readonly filter: Filter;
  readonly typed: string;
  /** Whether any text is a value, as a part of a path is. */
  readonly takesAny: boolean;
  readonly onType: (text: string) => void;
  readonly onAdd: (value: string) => void;
  readonly onRemove: (value: string) => void;
}

const SUGGESTIONS = 8;
const WAIT_MS = 250;

/** A text field with suggestions under it, as the pattern "combobox with list autocomplete" of the ARIA guide. */
function Values({ filter, typed, takesAny, onType, onAdd, onRemove }: ValuesProps) {
  const [asked, setAsked] = useState("");
  const [at, setAt] = useState(-1);
  const id = useId();
  useEffect(() => {
    const timer = setTimeout(() => setAsked(typed), WAIT_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  const { kind, api, label } = dimensionOf(filter.dimension);
  // Countries and languages have their names here, goals have few: those lists are searched where they are shown.
  const isLocal = kind === "country" || kind === "language" || filter.dimension === "goal";
  const told = useQuery(
    {
      metrics: ["visitors"],
      dimensions: [api],
      pagination: { limit: isLocal ? 1000 : SUGGESTIONS },
    },
    {
      about: filter.dimension,
      filters: asked && !isLocal ? [["contains", api, [asked], { case_sensitive: false }]] : [],
    },
  );
  const found = (told.value?.about === filter.dimension ? (told.value?.answer.results ?? []) : [])
    .map((row) => ({ value: row.dimensions[0] ?? "", visitors: row.metrics[0] ?? null }))
    .filter(({ value }) => !filter.values.includes(value))
    .filter(({ value }) => !isLocal || names.value(filter.dimension, value).toLowerCase().includes(typed.toLowerCase()))
    .slice(0, SUGGESTIONS);
  const press = (event: KeyboardEvent): void => {
    if (event.key === "ArrowDown") setAt((at + 1) % Math.max(found.length, 1));
    else if (event.key === "ArrowUp") setAt(at <= 0 ? found.length - 1 : at - 1);
    else if (event.key === "Enter" && (at >= 0 || typed.trim())) {
      const chosen = found[at]?.value ?? (takesAny || found.length === 0 ? typed.trim() : (found[0]?.value ?? typed.trim()));
      onAdd(chosen);
      setAt(-1);
    } else if (event.key === "Backspace" && typed === "" && filter.values.length > 0) onRemove(filter.values.at(-1) ?? "");
    else return;
    event.preventDefault();
  };
  return (
    <div class="field values">
      <label for={id}>{label}</label>
      {filter.values.length > 0 && (
        <ul class="chosen">
          {filter.values.map((value) => (
            <li key={value} class="chip">
              <span>{names.value(filter.dimension, value)}</span>
              <button type="button" aria-label={`Take ${names.value(filter.dimension, value)} away`} onClick={() => onRemove(value)}>
                <Icon name="close" />
              </button>
            </li>
          ))}
        </ul>
      )}
      <input
        id={id}
        role="combobox"
        aria-expanded={found.length > 0}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        {...(at >= 0 ? { "aria-activedescendant": `${id}-${at}` } : {})}
        autocomplete="off"
        value={typed}
        onInput={(event) => {
          onType(event.currentTarget.value);
          setAt(-1);
        }}
        onKeyDown={press}
      />
      <ul id={`${id}-list`} role="listbox" aria-label={`Values of ${label}`} class="suggestions">
        {found.map(({ value, visitors }, index) => (
          <li
            key={value}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === at}
            onPointerDown={(event) => {
              event.preventDefault();
              onAdd(value);
            }}
          >
            <span>{names.value(filter.dimension, value)}</span> <small>{numbers.short(visitors, "count")}</small>
          </li>
        ))}
      </ul>
    </div>
  );
}
