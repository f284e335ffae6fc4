/** Questions about speed: names of the metrics, and the filters that can hold for page loads. */

import { propertyKey } from "../dimensions";
import { type ApiFilter, type Filter, apiFilter, segmentFilter } from "../view/filters";
import { TIMINGS, type Timing } from "../performance_terms";
import type { View } from "../view/view";
import { type Row } from "../api/query";
import { amount } from "../words/numbers";

export function percentileMetric(percentile: number, name: string): string {
  return `p${percentile}_${name}`;
}

export function samplesMetric(name: string): string {
  return `samples_${name}`;
}

/** Goals and properties belong to events, and speed to page loads: the API refuses them together. */
export function speedFilters(filters: readonly Filter[]): { readonly kept: readonly Filter[]; readonly ignored: readonly Filter[] } {
  const isOfEvents = (filter: Filter): boolean => filter.dimension === "goal" || propertyKey(filter.dimension) !== null;
  return { kept: filters.filter((each) => !isOfEvents(each)), ignored: filters.filter(isOfEvents) };
}

export function speedApiFilters(view: View): readonly ApiFilter[] {
  const segment = view.segmentId === null ? [] : [segmentFilter(view.segmentId)];
  return [...speedFilters(view.filters).kept.map(apiFilter), ...segment];
}

/** A row whose first metrics are those of `TIMINGS`. */
export function timingsOf(row: Row | undefined): Readonly<Record<Timing, number | null>> {
  const entries = TIMINGS.map((name, at) => [name, amount(row?.metrics[at] ?? null)] as const);
  return Object.fromEntries(entries) as Record<Timing, number | null>;
}
