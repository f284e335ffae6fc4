/** Where values and buckets of a chart lie, and which lines are drawn across it. No DOM here. */

import type { Unit } from "../metrics";

/** Steps that read well: of decimals, and of durations in seconds. */
const DECIMAL_STEPS = [1, 2, 2.5, 5, 10];
const SECOND_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];

/** Heights of the lines across, from 0 on: about `wanted` of them, the last at or above `most`. */
export function ticksTo(most: number, unit: Unit, wanted = 4): readonly number[] {
  const step = stepFor(Math.max(most, unit === "score" ? 0.1 : 0) / wanted, unit);
  const count = Math.max(1, Math.ceil(most / step - 1e-9));
  // Rounded, because 3 * 0.1 is not 0.3.
  return Array.from({ length: count + 1 }, (_, at) => Number((at * step).toPrecision(12)));
}

function stepFor(least: number, unit: Unit): number {
  const isWhole = unit === "count" || unit === "seconds";
  if (unit === "seconds" && least <= 7200) return SECOND_STEPS.find((step) => step >= least) ?? 7200;
  if (least <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = (DECIMAL_STEPS.find((each) => each * power >= least * (1 - 1e-9)) ?? 10) * power;
  return isWhole ? Math.max(1, Math.ceil(step)) : step;
}

/** The values of a series; null where there is none, which breaks the line. */
export type Values = readonly (number | null)[];

/** Positions in a plot of this size. A single bucket lies in the middle. */
export class Scale {
  constructor(
    readonly width: number,
    readonly height: number,
    readonly count: number,
    readonly top: number,
  ) {}

  x(at: number): number {
    return this.count < 2 ? this.width / 2 : (at / (this.count - 1)) * this.width;
  }

  y(value: number): number {
    return this.height - (this.top > 0 ? value / this.top : 0) * this.height;
  }

  /** The bucket nearest to a position. */
  at(x: number): number {
    const nearest = this.count < 2 ? 0 : Math.round((x / this.width) * (this.count - 1));
    return Math.min(Math.max(nearest, 0), this.count - 1);
  }

  /** The path of a line through values `from` … `to`, both included. */
  line(values: Values, from = 0, to = values.length - 1): string {
    let path = "";
    let isDown = false;
    for (let at = from; at <= to; at += 1) {
      const value = values[at];
      if (value === null || value === undefined) {
        isDown = false;
        continue;
      }
      path += `${isDown ? "L" : "M"}${tenth(this.x(at))},${tenth(this.y(value))}`;
      isDown = true;
    }
    return path;
  }

  /** The area between two series, each without gaps. */
  area(upper: Values, lower: Values | null, from = 0, to = upper.length - 1): string {
    if (to < from) return "";
    const points = (values: Values | null, order: readonly number[]): string[] =>
      order.map((at) => `${tenth(this.x(at))},${tenth(this.y(values?.[at] ?? 0))}`);
    const order = Array.from({ length: to - from + 1 }, (_, at) => from + at);
    return `M${[...points(upper, order), ...points(lower, order.toReversed())].join("L")}Z`;
  }
}

function tenth(value: number): number {
  return Math.round(value * 10) / 10;
}

/**
 * Which buckets get a label on the axis: evenly spaced, each as wide as `labelPx`, and counted back from the newest, which
 * people look for.
 */
export function labelled(count: number, widthPx: number, labelPx: number): readonly number[] {
  if (count === 0) return [];
  const room = Math.max(1, Math.floor(widthPx / labelPx));
  const step = Math.ceil(count / room);
  const first = (count - 1) % step;
  return Array.from({ length: Math.floor((count - 1 - first) / step) + 1 }, (_, at) => first + at * step);
}

/** The runs of a series without gaps, as [first, last] of each. */
export function runs(values: Values): readonly (readonly [number, number])[] {
  const found: [number, number][] = [];
  values.forEach((value, at) => {
    if (value === null) return;
    const open = found.at(-1);
    if (open && open[1] === at - 1) open[1] = at;
    else found.push([at, at]);
  });
  return found;
}

/** Sums layer upon layer: the upper edge of each layer of a stack. */
export function stacked(layers: readonly Values[]): readonly Values[] {
  let below: readonly number[] = [];
  return layers.map((layer) => (below = layer.map((value, at) => (value ?? 0) + (below[at] ?? 0))));
}
