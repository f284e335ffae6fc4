/** Questions to `POST /api/v2/query`: the shapes, and how a view becomes one. */

import { type Range, rangeOf } from "../calendar/periods";
import { todayIn } from "../calendar/days";
import type { Shell } from "../shell";
import type { View } from "../view/view";
import { type ApiFilter, apiFilter, segmentFilter } from "../view/filters";
import type { Figure } from "../words/numbers";
import { ask } from "./client";

export type Direction = "asc" | "desc";

export interface Question {
  readonly metrics: readonly string[];
  readonly dimensions?: readonly string[];
  readonly order_by?: readonly (readonly [string, Direction])[];
  readonly include?: Readonly<Record<string, unknown>>;
  readonly pagination?: { readonly limit: number; readonly offset?: number };
}

export interface Row {
  readonly dimensions: readonly (string | null)[];
  readonly metrics: readonly Figure[];
  readonly comparison?: {
    readonly dimensions?: readonly (string | null)[];
    readonly metrics: readonly Figure[];
    readonly change: readonly (number | null)[];
  };
}

export interface QueryAnswer {
  readonly results: readonly Row[];
  readonly meta: {
    readonly time_labels?: readonly string[];
    readonly comparison_time_labels?: readonly string[];
    readonly total_rows?: number;
    /** Why imported figures are not among these, and that in words. */
    readonly imports_skip_reason?: string;
    readonly imports_warning?: string;
    readonly [more: string]: unknown;
  };
  readonly query: {
    readonly date_range: readonly [string, string];
    readonly comparison_date_range?: readonly [string, string];
    readonly [more: string]: unknown;
  };
}

/** What all questions of a view have in common: site, days, filters. */
export interface Scope {
  readonly site_id: string;
  readonly date_range: "all" | readonly [string, string];
  readonly filters: readonly ApiFilter[];
  /** For `include.comparisons`; null when nothing is compared, and over all time there is nothing before. */
  readonly comparisons: Readonly<Record<string, unknown>> | null;
  /** Whether new hits can still change the figures. */
  readonly isLive: boolean;
}

/** The scope of a view at a moment. */
export function scopeOf(shell: Shell, view: View, nowMs: number): Scope {
  const today = todayIn(shell.timezone, nowMs);
  const range = rangeOf(view.period, today);
  return {
    site_id: shell.domain,
    date_range: range === "all" ? "all" : [range.from, range.to],
    filters: [...view.filters.map(apiFilter), ...(view.segmentId === null ? [] : [segmentFilter(view.segmentId)])],
    comparisons: comparisonsOf(view, range),
    isLive: range === "all" || range.to >= today,
  };
}

function comparisonsOf(view: View, range: Range): Scope["comparisons"] {
  const { mode, from, to, matchesWeekday } = view.comparison;
  if (mode === "off" || range === "all") return null;
  if (mode === "custom") return { mode: "custom", date_range: [from, to], match_day_of_week: matchesWeekday };
  return { mode: mode === "year" ? "year_over_year" : "previous_period", match_day_of_week: matchesWeekday };
}

/** The body of a request. `compares` asks for the other period as well, where the scope has one. */
export function queryBody(scope: Scope, question: Question, compares = false): Record<string, unknown> {
  const include = {
    // What was imported belongs to the figures; without this it would be left out.
    imports: true,
    ...question.include,
    ...(compares && scope.comparisons ? { comparisons: scope.comparisons } : {}),
  };
  return {
    site_id: scope.site_id,
    date_range: scope.date_range,
    ...(scope.filters.length > 0 ? { filters: scope.filters } : {}),
    ...question,
    include,
  };
}

/** Ask. */
export function query(body: Record<string, unknown>, signal?: AbortSignal): Promise<QueryAnswer> {
  return ask("/api/v2/query", { method: "POST", body, ...(signal ? { signal } : {}) });
}
