/** Figures, names and moments as people read them. */

import { describe, expect, test } from "vitest";

import { Names } from "../src/words/names";
import { Numbers, changeOf, duration } from "../src/words/numbers";
import { Times } from "../src/words/times";

const numbers = new Numbers("en-GB");
const names = new Names("en-GB");
const times = new Times("en-GB");

describe("figures", () => {
  test.each([
    [9999, "count", "9,999", "9,999"],
    [12_345, "count", "12.3k", "12,345"],
    [1_234_567, "count", "1.23m", "1,234,567"],
    [42.4, "percent", "42%", "42%"],
    [4.25, "percent", "4.3%", "4.3%"],
    [0.0666, "score", "0.067", "0.067"],
    [2013, "milliseconds", "2.01 s", "2,013 ms"],
    [194, "milliseconds", "194 ms", "194 ms"],
    [65, "seconds", "1m 05s", "1m 05s"],
    [null, "count", "–", "–"],
    [{ value: 60, currency: "EUR" }, "money", "€60.00", "€60.00"],
    [{ value: 7912.5, currency: "EUR" }, "money", "€7.9k", "€7,912.50"],
  ] as const)("%s %s", (value, unit, short, exact) => {
    expect([numbers.short(value, unit).toLowerCase(), numbers.exact(value, unit).toLowerCase()]).toEqual([
      short.toLowerCase(),
      exact.toLowerCase(),
    ]);
  });

  test("durations", () => {
    expect([0, 59.6, 60, 3599, 3600].map(duration)).toEqual(["0s", "1m 00s", "1m 00s", "59m 59s", "1h 00m"]);
  });

  test("changes, of which some are none", () => {
    expect([changeOf(10, 6), changeOf(6, 10), changeOf(5, 5), changeOf(0, 0), changeOf(5, 0), changeOf(5, null)]).toEqual([
      66.7, -40, 0, 0, null, null,
    ]);
    expect([66.7, -3.7, 0, 12_000].map((change) => numbers.change(change))).toEqual(["+67%", "−3.7%", "0%", "121×"]);
  });
});

describe("names", () => {
  test("values by the browser's own names, codes that are none as they are", () => {
    expect(names.value("country", "NP")).toBe("Nepal");
    expect(names.value("country", "(not set)")).toBe("Unknown");
    expect(names.value("country", "no code")).toBe("no code");
    expect(names.value("source", "")).toBe("Direct / None");
    expect(names.filter({ operation: "is", dimension: "country", values: ["NP", "JP"] })).toBe("Country is Nepal or Japan");
  });
});

describe("moments", () => {
  test("labels of the site's calendar are shown as they are, in whatever zone the browser is", () => {
    expect(times.day("2026-11-25")).toBe("Wed, 25 Nov 2026");
    expect(times.bucket("2026-11-25 14:00:00", "hour")).toContain("14:00");
    expect(times.bucket("2026-11-23", "week")).toBe("Week of 23 Nov 2026");
    expect(times.range({ from: "2026-11-25", to: "2026-11-25" })).toBe("Wed, 25 Nov 2026");
  });
});
