/** From an answer's rows to the series of a chart. No DOM here. */

import type { QueryAnswer, Row } from "../api/query";
import { type Interval } from "../calendar/periods";
import { minuteIn, monthStart, weekStart } from "../calendar/days";
import { amount } from "../words/numbers";
import type { Values } from "./scale";

export interface TimeSeries {
  readonly labels: readonly string[];
  readonly values: Values;
  /** The same buckets of the other period, null when nothing is compared. */
  readonly before: Values | null;
  /** Of those buckets, as far as the answer tells: undefined where nothing happened in either. */
  readonly beforeLabels: readonly (string | undefined)[] | null;
  /** The bucket that is not over yet, -1 without one. */
  readonly presentAt: number;
}

/** Whether a bucket without rows has the value 0, as counts do, or none, as a percentile does. */
export type Missing = 0 | null;

/** The series of one metric. `now` is the minute in the site's zone as `minuteIn` writes it. */
export function timeSeries(
  answer: QueryAnswer,
  metricAt: number,
  interval: Interval,
  now: string,
  isLive: boolean,
  missing: Missing,
): TimeSeries {
  const labels = answer.meta.time_labels ?? answer.results.map((row) => row.dimensions[0] ?? "");
  const rows = new Map(answer.results.map((row) => [row.dimensions[0] ?? "", row]));
  const presentAt = isLive ? presentBucket(labels, interval, now) : -1;
  const value = (label: string, at: number): number | null => {
    if (presentAt >= 0 && at > presentAt) return null;
    const row = rows.get(label);
    return row ? amount(row.metrics[metricAt] ?? null) : missing;
  };
  // The other period is cut where this one stands, so that what is compared is as long: beyond there is nothing to show.
  const beforeOf = (compared: Row["comparison"], at: number): number | null => {
    if (compared) return amount(compared.metrics[metricAt] ?? null);
    return presentAt >= 0 && at > presentAt ? null : missing;
  };
  const compared = labels.map((label) => rows.get(label)?.comparison);
  const isCompared = compared.some((each) => each !== undefined);
  return {
    labels,
    values: labels.map(value),
    before: isCompared ? compared.map(beforeOf) : null,
    beforeLabels: isCompared ? compared.map((each) => each?.dimensions?.[0] ?? undefined) : null,
    presentAt,
  };
}

/** The bucket that holds the present, -1 when none does. */
export function presentBucket(labels: readonly string[], interval: Interval, now: string): number {
  const day = now.slice(0, 10);
  const begin = { minute: now, hour: `${now.slice(0, 13)}:00`, day, week: weekStart(day), month: monthStart(day) }[interval];
  const length = interval === "minute" || interval === "hour" ? 16 : 10;
  // A week that began before the range is labelled by the range's first day, so: the last that has begun, in this one.
  const at = labels.findLastIndex((label) => label.slice(0, length) <= now.slice(0, length));
  return at >= 0 && (labels[at] ?? "").slice(0, length) >= begin.slice(0, length) ? at : -1;
}

/** The greatest value of some series. */
export function greatest(...series: readonly (Values | null)[]): number {
  return Math.max(0, ...series.flatMap((values) => values ?? []).map((value) => value ?? 0));
}

export { minuteIn };
