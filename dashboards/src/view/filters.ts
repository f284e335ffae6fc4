/**
 * Filters: how they stand in the URL, and what the API is asked.
 *
 * URL: `f=<operation>,<dimension>,<value>,<value>…`, once for each filter; all have to hold, of the values one. A comma or a
 * backslash inside a value follows a backslash. Dimensions go by the short names of `dimensions.ts`, properties as
 * `prop:<key>`.
 */

import { apiDimension, isDimension } from "../dimensions";

export const OPERATIONS = ["is", "is_not", "contains", "contains_not", "matches_wildcard", "matches_wildcard_not"] as const;

export type Operation = (typeof OPERATIONS)[number];

export const OPERATION_WORDS: Readonly<Record<Operation, string>> = {
  is: "is",
  is_not: "is not",
  contains: "contains",
  contains_not: "does not contain",
  matches_wildcard: "matches",
  matches_wildcard_not: "does not match",
};

export interface Filter {
  readonly operation: Operation;
  readonly dimension: string;
  readonly values: readonly string[];
}

/** A filter as the API takes it. */
export type ApiFilter = readonly unknown[];

/** The filter of one `f=` of a URL, null when it is none. */
export function readFilter(text: string): Filter | null {
  const [operation, dimension, ...values] = splitEscaped(text);
  const isKnown = OPERATIONS.some((each) => each === operation);
  if (!isKnown || dimension === undefined || !isDimension(dimension) || values.length === 0) return null;
  return { operation: operation as Operation, dimension, values };
}

/** The reverse of `readFilter`. */
export function writeFilter(filter: Filter): string {
  return [filter.operation, filter.dimension, ...filter.values].map(escape).join(",");
}

function escape(part: string): string {
  return part.replace(/[\\,]/g, "\\$&");
}

function splitEscaped(text: string): string[] {
  const parts = [""];
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === ",") parts.push("");
    else parts[parts.length - 1] += char === "\\" ? text.charAt((at += 1)) : char;
  }
  return parts;
}

/** The filters with another one: a second `is` on the same dimension takes the place of the first. */
export function withFilter(filters: readonly Filter[], added: Filter): readonly Filter[] {
  const same = (each: Filter): boolean =>
    each.operation === added.operation && each.dimension === added.dimension;
  if (added.operation === "is_not") {
    // Leaving out a second value goes on leaving out the first.
    const before = filters.find(same)?.values ?? [];
    const values = [...new Set([...before, ...added.values])];
    return [...filters.filter((each) => !same(each)), { ...added, values }];
  }
  return [...filters.filter((each) => !same(each)), added];
}

/** Whether the filters let through a single value of a dimension, and which. */
export function onlyValue(filters: readonly Filter[], dimension: string): string | null {
  const found = filters.find((each) => each.operation === "is" && each.dimension === dimension);
  return found?.values.length === 1 ? (found.values[0] ?? null) : null;
}

/** As the API takes it. */
export function apiFilter(filter: Filter): ApiFilter {
  return [filter.operation, apiDimension(filter.dimension), filter.values];
}

/** A saved segment, which the server puts its filters in for. */
export function segmentFilter(segmentId: number): ApiFilter {
  return ["is", "segment", [segmentId]];
}
