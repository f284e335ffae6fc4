/** Answers that are no query: who is here now, drops, funnels, suggested values. Shapes as `server/queries` documents them. */

import { useSite } from "../view/site";
import { type ApiFilter } from "../view/filters";
import { ask } from "./client";
import { type Answered, useAnswer } from "./remembered";
import type { Scope } from "./query";

export interface Named {
  readonly name: string;
  readonly visitors: number;
}

export interface Realtime {
  readonly visitors: number;
  readonly visitors_30m: number;
  readonly minutes: readonly { readonly minute: string; readonly visitors: number; readonly pageviews: number }[];
  readonly pages: readonly Named[];
  readonly sources: readonly Named[];
  readonly countries: readonly Named[];
}

export interface DropReason {
  readonly reason: string;
  readonly label: string;
  readonly hits: number;
  readonly by_day: readonly number[];
}

export interface DroppedHits {
  readonly answered: number;
  readonly accepted: number;
  readonly dropped: number;
  readonly reasons: readonly DropReason[];
  readonly days: readonly { readonly day: string; readonly accepted: number; readonly dropped: number }[];
}

export interface FunnelStep {
  readonly goal_id: number;
  readonly name: string;
  readonly visitors: number;
  readonly conversion_rate: number;
  readonly conversion_rate_step: number;
  readonly dropoff: number;
  readonly dropoff_percentage: number;
}

export interface FunnelFigures {
  readonly all_visitors: number;
  readonly entering_visitors: number;
  readonly entering_visitors_percentage: number;
  readonly conversion_rate: number;
  readonly steps: readonly FunnelStep[];
}

export interface Suggestion {
  readonly value: string;
  readonly visitors: number;
}

/** An answer about a moment stays true about as long. */
export const LIVE_MS = 60_000;

function scopeQuery(scope: Scope, more: Readonly<Record<string, string>>, filters: readonly ApiFilter[] = []): string {
  const query = new URLSearchParams({
    site_id: scope.site_id,
    date_range: JSON.stringify(scope.date_range),
    ...(filters.length > 0 ? { filters: JSON.stringify(filters) } : {}),
    ...more,
  });
  return query.toString();
}

function useStats<T>(path: string | null, everyMs?: number): Answered<T> {
  return useAnswer<T>(path, (signal) => ask<T>(path ?? "", { signal }), everyMs);
}

/** Who is here now; asked again every so many milliseconds. */
export function useRealtime(everyMs: number): Answered<Realtime> {
  const { shell } = useSite();
  return useStats(`/api/stats/realtime?${new URLSearchParams({ site_id: shell.domain })}`, everyMs);
}

/** Hits of the view's days that became no row. Filters cannot hold for them: of a dropped hit only its reason is kept. */
export function useDrops(): Answered<DroppedHits> {
  const { scope } = useSite();
  return useStats(`/api/stats/drops?${scopeQuery(scope, {})}`, scope.isLive ? LIVE_MS : undefined);
}

/** The steps of a funnel under these filters. */
export function useFunnel(funnelId: number, filters: readonly ApiFilter[]): Answered<FunnelFigures> {
  const { shell, scope } = useSite();
  const path = `/api/sites/${encodeURIComponent(shell.domain)}/funnels/${funnelId}`;
  return useStats(`${path}?${scopeQuery(scope, {}, filters)}`, scope.isLive ? LIVE_MS : undefined);
}

/** Values of a dimension by the API's name, those with most visitors first; `event:props` for the names of properties. */
export function useSuggestions(
  dimension: string,
  text: string,
  limit: number,
): Answered<{ readonly suggestions: readonly Suggestion[] }> {
  const { scope } = useSite();
  return useStats(`/api/stats/suggestions?${scopeQuery(scope, { dimension, text, limit: String(limit) })}`);
}
