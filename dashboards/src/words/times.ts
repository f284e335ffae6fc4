/** Days and hours as people read them. What comes in is the site's calendar already, so it is formatted as UTC. */

import type { Day } from "../calendar/days";
import type { DayRange, Interval } from "../calendar/periods";

/** The label of a bucket, "2026-11-25" or "2026-11-25 14:00:00", as a moment that UTC formats write the same way. */
function momentOf(label: string): Date {
  return new Date(`${label.slice(0, 10)}T${label.slice(11, 16) || "00:00"}:00Z`);
}

export class Times {
  private readonly formats = new Map<string, Intl.DateTimeFormat>();

  constructor(private readonly locale?: string) {}

  private format(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
    const key = JSON.stringify(options);
    let format = this.formats.get(key);
    if (!format) this.formats.set(key, (format = new Intl.DateTimeFormat(this.locale, { timeZone: "UTC", ...options })));
    return format;
  }

  /** "Wed, 25 Nov 2026". */
  day(day: Day): string {
    return this.format({ weekday: "short", day: "numeric", month: "short", year: "numeric" }).format(momentOf(day));
  }

  /** "1–25 Nov 2026". */
  range(range: DayRange): string {
    if (range.from === range.to) return this.day(range.from);
    const format = this.format({ day: "numeric", month: "short", year: "numeric" });
    return format.formatRange(momentOf(range.from), momentOf(range.to));
  }

  /** A month's name: "November 2026". */
  month(day: Day): string {
    return this.format({ month: "long", year: "numeric" }).format(momentOf(day));
  }

  /** A bucket on an axis: as short as it can be. */
  tick(label: string, interval: Interval, spansYears: boolean): string {
    switch (interval) {
      case "minute":
      case "hour":
        return this.format({ hour: "numeric", minute: "2-digit" }).format(momentOf(label));
      case "day":
      case "week":
        return this.format({ day: "numeric", month: "short" }).format(momentOf(label));
      case "month":
        return this.format(spansYears ? { month: "short", year: "2-digit" } : { month: "short" }).format(momentOf(label));
    }
  }

  /** A bucket in full, as in the chart's tooltip and table. */
  bucket(label: string, interval: Interval): string {
    switch (interval) {
      case "minute":
      case "hour":
        return this.format({ weekday: "short", day: "numeric", month: "short", hour: "numeric", minute: "2-digit" }).format(
          momentOf(label),
        );
      case "day":
        return this.day(label);
      case "week":
        return `Week of ${this.format({ day: "numeric", month: "short", year: "numeric" }).format(momentOf(label))}`;
      case "month":
        return this.month(label);
    }
  }
}
