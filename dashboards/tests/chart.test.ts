/** Scales, series and sparks: what a chart draws, before anything draws it. */

import { describe, expect, test } from "vitest";

import type { QueryAnswer } from "../src/api/query";
import { Scale, labelled, runs, stacked, ticksTo } from "../src/chart/scale";
import { presentBucket, timeSeries } from "../src/chart/series";
import { SPARK_HEIGHT, sparkPaths } from "../src/chart/spark";
import { phasesOf, ratingOf, waterfallOf } from "../src/performance_terms";

describe("scales", () => {
  test.each([
    [0, "count", [0, 1]],
    [3, "count", [0, 1, 2, 3]],
    [434, "count", [0, 200, 400, 600]],
    [0.07, "score", [0, 0.025, 0.05, 0.075]],
    [95, "seconds", [0, 30, 60, 90, 120]],
  ] as const)("lines up to %s %s", (most, unit, expected) => {
    expect(ticksTo(most, unit)).toEqual(expected);
  });

  test("gaps break a line, and lonely points are known", () => {
    const scale = new Scale(100, 100, 3, 10);
    expect(scale.line([0, null, 10])).toBe("M0,100M100,0");
    expect(runs([1, null, 2, 3])).toEqual([[0, 0], [2, 3]]);
    expect(stacked([[1, 2], [3, null]])).toEqual([[1, 2], [4, 2]]);
    expect([scale.at(-5), scale.at(51), scale.at(500)]).toEqual([0, 1, 2]);
  });

  test("labels never overlap, and the newest has one", () => {
    const shown = labelled(28, 800, 72);
    expect(shown.at(-1)).toBe(27);
    expect(shown.length).toBeLessThanOrEqual(11);
  });
});

describe("series", () => {
  const answer: QueryAnswer = {
    results: [
      { dimensions: ["2026-11-24"], metrics: [10], comparison: { dimensions: ["2026-11-22"], metrics: [6], change: [67] } },
    ],
    meta: { time_labels: ["2026-11-23", "2026-11-24", "2026-11-25", "2026-11-26"] },
    query: { date_range: ["2026-11-23", "2026-11-26"] },
  };

  test("days without rows count nothing, days to come are not drawn, the present one is known", () => {
    const series = timeSeries(answer, 0, "day", "2026-11-25 10:00", true, 0);
    expect(series.values).toEqual([0, 10, 0, null]);
    expect(series.before).toEqual([0, 6, 0, null]);
    // Bucket labels that the answer does not tell are none, rather than no date.
    expect(series.beforeLabels).toEqual([undefined, "2026-11-22", undefined, undefined]);
    expect(series.presentAt).toBe(2);
  });

  test("the present is in no bucket of a range that is over", () => {
    expect(presentBucket(["2026-11-23"], "day", "2026-11-25 10:00")).toBe(-1);
    expect(presentBucket(["2026-11-26"], "week", "2026-11-27 10:00")).toBe(0);
    expect(presentBucket(["2026-11-25 09:00:00", "2026-11-25 10:00:00"], "hour", "2026-11-25 10:20")).toBe(1);
  });

  test("a spark stays inside its box, also without anybody", () => {
    expect(sparkPaths([0, 0, 0]).line).toBe(`M0,${SPARK_HEIGHT - 3}L120,${SPARK_HEIGHT - 3}L240,${SPARK_HEIGHT - 3}`);
    expect(sparkPaths([0, 5]).line).toBe(`M0,${SPARK_HEIGHT - 3}L240,3`);
  });
});

describe("speed", () => {
  test("ratings at their bounds", () => {
    expect([2500, 2501, 4000, 4001].map((value) => ratingOf("lcp", value))).toEqual([
      "good",
      "needs improvement",
      "needs improvement",
      "poor",
    ]);
  });

  test("the waterfall's phases follow each other, and a missing step takes no time", () => {
    const timings = { dns: 10, connect: 20, tls: null, ttfb: 300, download: 40, dom_interactive: 900, dom_content_loaded: null, load: 1800 };
    expect(phasesOf(timings)).toEqual({ dns: 10, connect: 20, tls: 0, wait: 270, download: 40 });
    expect(waterfallOf(timings).map(({ from, to }) => [from, to])).toEqual([
      [0, 10], [10, 30], [30, 30], [30, 300], [300, 340], [0, 900], [0, 1800],
    ]);
  });
});
