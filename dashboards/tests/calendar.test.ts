/** Days, periods and the steps of a chart, also where months and years differ in length and zones in their date. */

import { describe, expect, test } from "vitest";

import { addDays, addMonths, dayCount, isDay, minuteIn, monthEnd, todayIn, weekStart } from "../src/calendar/days";
import { CHOICES, intervalsOf, rangeOf, shifted } from "../src/calendar/periods";

const TODAY = "2026-03-31";

describe("days", () => {
  test("dates that exist", () => {
    expect(["2024-02-29", "2026-02-29", "2026-13-01", "2026-1-1", ""].map(isDay)).toEqual([true, false, false, false, false]);
  });

  test("arithmetic over month ends, leap days and clock changes", () => {
    expect(addMonths("2026-03-31", -1)).toBe("2026-02-28");
    expect(addMonths("2024-01-31", 1)).toBe("2024-02-29");
    expect(monthEnd("2028-02-10")).toBe("2028-02-29");
    expect(addDays("2026-03-28", 2)).toBe("2026-03-30");
    expect(dayCount("2026-03-01", "2026-03-31")).toBe(31);
    expect(weekStart("2026-11-29")).toBe("2026-11-23");
  });

  test("today is the site's, not the browser's", () => {
    const at = Date.UTC(2026, 2, 31, 20, 30);
    expect([todayIn("UTC", at), todayIn("Pacific/Chatham", at), todayIn("America/New_York", at)]).toEqual([
      "2026-03-31",
      "2026-04-01",
      "2026-03-31",
    ]);
    expect(minuteIn("Asia/Kathmandu", at)).toBe("2026-04-01 02:15");
  });
});

describe("periods", () => {
  test.each([
    ["today", "2026-03-31", "2026-03-31"],
    ["7d", "2026-03-25", "2026-03-31"],
    ["28d", "2026-03-04", "2026-03-31"],
    ["last_month", "2026-02-01", "2026-02-28"],
    ["12mo", "2025-04-01", "2026-03-31"],
    ["year_to_date", "2026-01-01", "2026-03-31"],
  ] as const)("%s", (name, from, to) => {
    expect(rangeOf({ name }, TODAY)).toEqual({ from, to });
  });

  test("each has a key of its own", () => {
    const keys = CHOICES.map((choice) => choice.key);
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys.some((key) => ["C", "X"].includes(key))).toBe(false);
  });

  test("one steps back and forth by the same length, and never past today", () => {
    expect(shifted({ name: "7d" }, -1, TODAY)).toEqual({ name: "custom", from: "2026-03-18", to: "2026-03-24" });
    expect(shifted({ name: "today" }, -1, TODAY)).toEqual({ name: "day", date: "2026-03-30" });
    expect(shifted({ name: "month_to_date" }, -1, TODAY)).toEqual({ name: "month", date: "2026-02-01" });
    expect(shifted({ name: "7d" }, 1, TODAY)).toBeNull();
    expect(shifted({ name: "all" }, -1, TODAY)).toBeNull();
  });

  test("a chart has between a few and some hundred steps", () => {
    const first = "2016-01-01";
    for (const { name } of CHOICES) {
      expect(intervalsOf(rangeOf({ name }, TODAY), first, TODAY).length).toBeGreaterThan(0);
    }
    expect(intervalsOf({ from: TODAY, to: TODAY }, first, TODAY)).toEqual(["hour"]);
    expect(intervalsOf("all", first, TODAY)[0]).toBe("month");
  });
});
