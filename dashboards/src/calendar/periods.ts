/**
 * The periods one may look at, what they are called, the key that chooses them, and the days they mean today.
 *
 * A period of the URL stays relative ("28d" is another range tomorrow); only `day`, `month`, `year` with a date, and `custom`
 * are fixed. Ranges include both ends and, where the period runs on, today.
 */

import { type Day, addDays, addMonths, dayCount, isDay, monthEnd, monthStart } from "./days";

export interface Period {
  readonly name: PeriodName;
  /** For `day`, `month` and `year`: a date in it. */
  readonly date?: Day;
  /** For `custom`. */
  readonly from?: Day;
  readonly to?: Day;
}

export interface DayRange {
  readonly from: Day;
  readonly to: Day;
}

/** What to ask the API for; the server alone knows where all time begins. */
export type Range = DayRange | "all";

export type PeriodName =
  | "today"
  | "yesterday"
  | "7d"
  | "28d"
  | "91d"
  | "month_to_date"
  | "last_month"
  | "year_to_date"
  | "12mo"
  | "all"
  | "day"
  | "month"
  | "year"
  | "custom";

export type Interval = "minute" | "hour" | "day" | "week" | "month";

interface Choice {
  readonly name: PeriodName;
  readonly label: string;
  readonly key: string;
  /** Begins a group in the menu. */
  readonly opensGroup?: true;
}

/** The menu, in its order. */
export const CHOICES: readonly Choice[] = [
  { name: "today", label: "Today", key: "D" },
  { name: "yesterday", label: "Yesterday", key: "E" },
  { name: "7d", label: "Last 7 days", key: "W", opensGroup: true },
  { name: "28d", label: "Last 28 days", key: "F" },
  { name: "91d", label: "Last 91 days", key: "N" },
  { name: "month_to_date", label: "This month", key: "M", opensGroup: true },
  { name: "last_month", label: "Last month", key: "P" },
  { name: "year_to_date", label: "This year", key: "Y", opensGroup: true },
  { name: "12mo", label: "Last 12 months", key: "L" },
  { name: "all", label: "All time", key: "A" },
];

export const DEFAULT_PERIOD: Period = { name: "28d" };

const ANCHORED: readonly string[] = ["day", "month", "year"];

/** The period that these words of a URL mean; the default when they mean none. */
export function readPeriod(name: string, date: string, from: string, to: string): Period {
  if (name === "custom" && isDay(from) && isDay(to) && from <= to) return { name, from, to };
  if (ANCHORED.includes(name) && isDay(date)) return { name: name as PeriodName, date };
  const choice = CHOICES.find((each) => each.name === name);
  return choice ? { name: choice.name } : DEFAULT_PERIOD;
}

/** The days of a period, when today is `today`. */
export function rangeOf(period: Period, today: Day): Range {
  const date = period.date ?? today;
  const lastMonth = addMonths(monthStart(today), -1);
  const until = (day: Day): Day => (day < today ? day : today);
  switch (period.name) {
    case "today":
      return { from: today, to: today };
    case "yesterday":
      return { from: addDays(today, -1), to: addDays(today, -1) };
    case "7d":
      return { from: addDays(today, -6), to: today };
    case "28d":
      return { from: addDays(today, -27), to: today };
    case "91d":
      return { from: addDays(today, -90), to: today };
    case "month_to_date":
      return { from: monthStart(today), to: today };
    case "last_month":
      return { from: lastMonth, to: monthEnd(lastMonth) };
    case "year_to_date":
      return { from: `${today.slice(0, 4)}-01-01`, to: today };
    case "12mo":
      return { from: addMonths(monthStart(today), -11), to: today };
    case "all":
      return "all";
    case "day":
      return { from: date, to: date };
    case "month":
      return { from: monthStart(date), to: until(monthEnd(date)) };
    case "year":
      return { from: `${date.slice(0, 4)}-01-01`, to: until(`${date.slice(0, 4)}-12-31`) };
    case "custom":
      return { from: period.from ?? today, to: period.to ?? today };
  }
}

/** The period before (-1) or after (+1) this one; null where there is none, such as after today. */
export function shifted(period: Period, by: -1 | 1, today: Day): Period | null {
  const range = rangeOf(period, today);
  if (range === "all") return null;
  const next = neighbour(period, range, by);
  const moved = rangeOf(next, today);
  return moved === "all" || moved.from > today ? null : next;
}

function neighbour(period: Period, range: DayRange, by: -1 | 1): Period {
  switch (period.name) {
    case "month_to_date":
    case "last_month":
    case "month":
      return { name: "month", date: addMonths(monthStart(range.from), by) };
    case "year_to_date":
    case "year":
      return { name: "year", date: addMonths(range.from, 12 * by) };
    default: {
      const days = dayCount(range.from, range.to);
      const [from, to] = [addDays(range.from, by * days), addDays(range.to, by * days)];
      return days === 1 ? { name: "day", date: from } : { name: "custom", from, to };
    }
  }
}

/**
 * The steps a chart of a range may have, the usual one first. Bounds: between 7 and about 400 points, except where a range
 * is so short or long that nothing fits.
 */
export function intervalsOf(range: Range, firstDay: Day, today: Day): readonly Interval[] {
  const { from, to } = range === "all" ? { from: firstDay, to: today } : range;
  const days = dayCount(from, to);
  if (days <= 1) return ["hour"];
  if (days <= 8) return ["day", "hour"];
  if (days <= 16) return ["day", "hour", "week"];
  if (days <= 100) return ["day", "week", "month"];
  if (days <= 400) return ["week", "day", "month"];
  return ["month", "week"];
}

/** The range's days in words are made in `words/times`; this is the period's own name, where it has one. */
export function nameOf(period: Period): string | null {
  return CHOICES.find((choice) => choice.name === period.name)?.label ?? null;
}
