/**
 * Dates of the site's calendar as ISO text ("2026-11-25"), and what day or hour it is in the site's zone.
 *
 * A date has no zone, so arithmetic goes through UTC, where every day has 24 hours. Only `todayIn` and `hourIn` know zones.
 */

export type Day = string;

const DAY_MS = 86_400_000;

const DAY_PATTERN = /^\d{4}-\d{2}-\d{2}$/;

/** Whether this is a date that exists. */
export function isDay(text: string): boolean {
  return DAY_PATTERN.test(text) && !Number.isNaN(Date.parse(text)) && dayOf(Date.parse(text)) === text;
}

function dayOf(utcMs: number): Day {
  return new Date(utcMs).toISOString().slice(0, 10);
}

/** The date so many days later; earlier when negative. */
export function addDays(day: Day, days: number): Day {
  return dayOf(Date.parse(day) + days * DAY_MS);
}

/** The same day of another month, or that month's last day when it is shorter. */
export function addMonths(day: Day, months: number): Day {
  const [year = 0, month = 1, date = 1] = day.split("-").map(Number);
  const last = new Date(Date.UTC(year, month + months, 0)).getUTCDate();
  return dayOf(Date.UTC(year, month - 1 + months, Math.min(date, last)));
}

/** The first day of the date's month. */
export function monthStart(day: Day): Day {
  return `${day.slice(0, 7)}-01`;
}

/** The last day of the date's month. */
export function monthEnd(day: Day): Day {
  return addDays(addMonths(monthStart(day), 1), -1);
}

/** How many days lie in a range, both ends counted. */
export function dayCount(from: Day, to: Day): number {
  return Math.round((Date.parse(to) - Date.parse(from)) / DAY_MS) + 1;
}

/** The Monday of the date's week (ISO 8601). */
export function weekStart(day: Day): Day {
  const weekday = (new Date(Date.parse(day)).getUTCDay() + 6) % 7;
  return addDays(day, -weekday);
}

function parts(zone: string, nowMs: number): Record<string, string> {
  // hourCycle, because some engines write midnight as 24 otherwise.
  const format = new Intl.DateTimeFormat("en-GB", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
  });
  return Object.fromEntries(format.formatToParts(nowMs).map((part) => [part.type, part.value]));
}

/** The date in this zone. */
export function todayIn(zone: string, nowMs: number): Day {
  const { year, month, day } = parts(zone, nowMs);
  return `${year}-${month}-${day}`;
}

/** The minute in this zone, as the API labels it: "2026-11-25 14:05". */
export function minuteIn(zone: string, nowMs: number): string {
  const { year, month, day, hour, minute } = parts(zone, nowMs);
  return `${year}-${month}-${day} ${hour}:${minute}`;
}
