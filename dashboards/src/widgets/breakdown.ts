/** What a list breaks figures down by, what its rows are called, and how a row filters. No DOM here. */

import { dimensionOf } from "../dimensions";
import { type Filter, onlyValue, withFilter } from "../view/filters";
import { names } from "../words/speech";

export interface Breakdown {
  /** The short name of the dimension that the list is of. */
  readonly name: string;
  /** The API's dimensions: versions come with what they are versions of. */
  readonly dimensions: readonly string[];
  /** The short names of `dimensions`. */
  readonly parts: readonly string[];
}

const WITH_ITS_WHOLE: Readonly<Record<string, string>> = { browser_version: "browser", os_version: "os" };

/** Of a browser or system that the filters already choose, its versions say more than its one name. */
const NEXT_INSIDE: Readonly<Record<string, string>> = { browser: "browser_version", os: "os_version" };

/** What a list of this dimension shows under these filters. */
export function breakdownOf(name: string, filters: readonly Filter[]): Breakdown {
  const inside = NEXT_INSIDE[name];
  const isChosen = filters.some((each) => each.operation === "is" && each.dimension === name && each.values.length === 1);
  const shown = inside !== undefined && isChosen ? inside : name;
  const whole = WITH_ITS_WHOLE[shown];
  const parts = whole === undefined ? [shown] : [whole, shown];
  return { name: shown, parts, dimensions: parts.map((each) => dimensionOf(each).api) };
}

/** What a row is called. */
export function rowName(of: Breakdown, values: readonly (string | null)[]): string {
  return of.parts.map((part, at) => names.value(part, values[at] ?? "")).join(" ");
}

/** Rows that stand for many values, or for a value that no filter can name. */
const NO_VALUES: readonly string[] = ["(other)"];

/** The filters with a row's values chosen or left out; null where a row cannot be. */
export function filtersFor(
  filters: readonly Filter[],
  of: Breakdown,
  values: readonly (string | null)[],
  operation: "is" | "is_not",
): readonly Filter[] | null {
  if (values.some((value) => value === null || NO_VALUES.includes(value))) return null;
  // "Not version 120" would leave out everybody's 120, unless the filters choose whose it is.
  const isInside = of.parts.slice(0, -1).every((part) => onlyValue(filters, part) !== null);
  if (operation === "is_not" && !isInside) return null;
  const parts = operation === "is" ? of.parts.map((_, at) => at) : [of.parts.length - 1];
  return parts.reduce<readonly Filter[]>(
    (before, at) => withFilter(before, { operation, dimension: of.parts[at] ?? of.name, values: [values[at] ?? ""] }),
    filters,
  );
}
