/** Figures as people read them: short where there is little room, exact where one asks. All by the browser's language. */

import type { Unit } from "../metrics";

/** An amount of money, as the API gives it. */
export interface Money {
  readonly value: number;
  readonly currency: string;
}

export type Figure = number | Money | null;

/** Without a language, the browser's. Formats are kept: making one costs more than using it a hundred times. */
export class Numbers {
  private readonly formats = new Map<string, Intl.NumberFormat>();

  constructor(private readonly language?: string) {}

  private format(value: number, options: Intl.NumberFormatOptions): string {
    const key = JSON.stringify(options);
    let format = this.formats.get(key);
    if (!format) this.formats.set(key, (format = new Intl.NumberFormat(this.language, options)));
    return format.format(value);
  }

  /** As in lists and on axes: "12.3K", "1m 05s", "43%". */
  short(figure: Figure, unit: Unit): string {
    const value = amount(figure);
    if (value === null) return "–";
    switch (unit) {
      case "count":
        return this.compact(value);
      case "money":
        return this.money(figure, Math.abs(value) >= 1000);
      case "milliseconds":
        return value < 1000
          ? `${this.format(value, { maximumFractionDigits: value < 10 && value > 0 ? 1 : 0 })} ms`
          : `${this.format(value / 1000, { maximumFractionDigits: value < 10_000 ? 2 : 1 })} s`;
      case "bytes":
        return value < 1_000_000
          ? `${this.format(value / 1000, { maximumFractionDigits: value < 10_000 ? 1 : 0 })} kB`
          : `${this.format(value / 1_000_000, { maximumFractionDigits: 1 })} MB`;
      default:
        return this.exact(figure, unit);
    }
  }

  /** In full: "12,345". */
  exact(figure: Figure, unit: Unit): string {
    const value = amount(figure);
    if (value === null) return "–";
    switch (unit) {
      case "count":
        return this.format(value, { maximumFractionDigits: 0 });
      case "percent":
        return `${this.format(value, { maximumFractionDigits: Math.abs(value) < 10 ? 1 : 0 })}%`;
      case "ratio":
        return this.format(value, { maximumFractionDigits: 2 });
      case "score":
        return this.format(value, { maximumFractionDigits: 3 });
      case "seconds":
        return duration(value);
      case "money":
        return this.money(figure, false);
      case "milliseconds":
        return `${this.format(value, { maximumFractionDigits: 1 })} ms`;
      case "bytes":
        return `${this.format(value, { maximumFractionDigits: 0 })} B`;
    }
  }

  /** A change against another period in percent, signed: "+12%", "−3.7%", "0%"; from tenfold on as a factor: "186×". */
  change(percent: number): string {
    if (percent >= 900) return `${this.compact(Math.round(1 + percent / 100))}×`;
    const digits = Math.abs(percent) < 10 && !Number.isInteger(percent) ? 1 : 0;
    const text = this.format(Math.abs(percent), { maximumFractionDigits: digits });
    return `${percent > 0 ? "+" : percent < 0 ? "−" : ""}${text}%`;
  }

  private compact(value: number): string {
    // Up to four digits the exact figure is as short.
    if (Math.abs(value) < 10_000) return this.format(value, { maximumFractionDigits: 0 });
    return this.format(value, { notation: "compact", maximumFractionDigits: Math.abs(value) < 1_000_000 ? 1 : 2 });
  }

  private money(figure: Figure, isCompact: boolean): string {
    const value = amount(figure) ?? 0;
    const currency = isMoney(figure) ? figure.currency : "USD";
    return this.format(value, {
      style: "currency",
      currency,
      ...(isCompact ? { notation: "compact", maximumFractionDigits: 1 } : {}),
    });
  }
}

function isMoney(figure: Figure): figure is Money {
  return typeof figure === "object" && figure !== null;
}

/** The plain number of a figure. */
export function amount(figure: Figure): number | null {
  return isMoney(figure) ? figure.value : figure;
}

/** Seconds as "0s", "45s", "2m 05s", "1h 02m". */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const pad = (value: number): string => String(value).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${pad(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h ${pad(Math.floor((whole % 3600) / 60))}m`;
}

/**
 * The change in percent from `before` to `now`: rounded as it is shown. Null when there was nothing before, which no
 * percentage describes.
 */
export function changeOf(now: Figure, before: Figure): number | null {
  const [a, b] = [amount(now), amount(before)];
  if (a === null || b === null || b === 0) return a === 0 && b === 0 ? 0 : null;
  return Math.round(((a - b) / b) * 1000) / 10;
}
