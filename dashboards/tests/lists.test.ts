/** What lists break down by, how their rows filter, and what is asked of the API. */

import { describe, expect, test } from "vitest";

import { exportAddress } from "../src/api/exports";
import { type Scope, queryBody, scopeOf } from "../src/api/query";
import type { Shell } from "../src/shell";
import { readView } from "../src/view/view";
import { breakdownOf, filtersFor, rowName } from "../src/widgets/breakdown";
import { funnelFilters } from "../src/funnels/funnel_filters";
import { speedFilters } from "../src/performance/speed_query";
import { stepOf } from "../src/widgets/world_map";

const SHELL: Shell = {
  domain: "shop.example",
  timezone: "Asia/Kathmandu",
  role: "owner",
  user_id: 1,
  share: null,
  is_embedded: false,
  sites: [],
  first_day: "2026-01-01",
  has_hits: true,
  has_event_export: true,
  links: { install: null, settings: null, reports: null, overview: null },
};
/** 02:15 of 1 April in Kathmandu. */
const NOW_MS = Date.UTC(2026, 2, 31, 20, 30);

describe("lists", () => {
  test("versions come with what they are versions of", () => {
    const versions = breakdownOf("browser_version", []);
    expect(versions.dimensions).toEqual(["visit:browser", "visit:browser_version"]);
    expect(rowName(versions, ["Chrome", "145"])).toBe("Chrome 145");
    expect(filtersFor([], versions, ["Chrome", "145"], "is")).toEqual([
      { operation: "is", dimension: "browser", values: ["Chrome"] },
      { operation: "is", dimension: "browser_version", values: ["145"] },
    ]);
    // Everybody's 145 would be left out, not Chrome's.
    expect(filtersFor([], versions, ["Chrome", "145"], "is_not")).toBeNull();
  });

  test("a browser that is chosen shows its versions", () => {
    expect(breakdownOf("browser", [{ operation: "is", dimension: "browser", values: ["Chrome"] }]).name).toBe("browser_version");
  });

  test("a row of everything else filters nothing", () => {
    expect(filtersFor([], breakdownOf("page", []), ["(other)"], "is")).toBeNull();
  });

  test("the map's steps are equal factors", () => {
    expect([0, 1, 10, 100, 1000, 10_000].map((visitors) => stepOf(visitors, 10_000))).toEqual([0, 1, 2, 3, 4, 5]);
    expect(stepOf(1, 1)).toBe(5);
  });
});

describe("questions", () => {
  const scope = (search: string): Scope => scopeOf(SHELL, readView(search), NOW_MS);

  test("days are the site's", () => {
    expect(scope("?period=today").date_range).toEqual(["2026-04-01", "2026-04-01"]);
    expect(scope("?period=today").isLive).toBe(true);
    expect(scope("?period=yesterday").isLive).toBe(false);
    expect(scope("?period=all")).toMatchObject({ date_range: "all", comparisons: null });
  });

  test("filters and segments are asked with their names of the API", () => {
    expect(scope("?f=is,prop:plan,pro&segment=3").filters).toEqual([
      ["is", "event:props:plan", ["pro"]],
      ["is", "segment", [3]],
    ]);
  });

  test("only who asks for it is compared", () => {
    const asked = { metrics: ["visitors"] };
    expect(queryBody(scope("?period=7d"), asked)["include"]).toEqual({ imports: true });
    expect(queryBody(scope("?period=7d"), asked, true)["include"]).toEqual({
      imports: true,
      comparisons: { mode: "previous_period", match_day_of_week: true },
    });
    expect(queryBody(scope("?period=7d&compare=off"), asked, true)["include"]).toEqual({ imports: true });
  });

  test("an export is the same question as a link", () => {
    const url = new URL(exportAddress(scope("?period=7d&f=is,source,A"), { metrics: ["visitors"], dimensions: ["event:page"] }), "http://x");
    expect(url.pathname).toBe("/api/stats/export");
    expect(JSON.parse(url.searchParams.get("filters") ?? "")).toEqual([["is", "visit:source", ["A"]]]);
    expect(url.searchParams.get("site_id")).toBe("shop.example");
  });
});

describe("screens that not every filter holds for", () => {
  const { filters } = readView("?f=is,page,/a&f=is,country,NP&f=is,goal,Signup&f=is,prop:plan,pro");
  const dimensions = (found: readonly { readonly dimension: string }[]): string[] => found.map((each) => each.dimension);

  test("a funnel is of visits", () => {
    expect(dimensions(funnelFilters(filters).kept)).toEqual(["country"]);
    expect(dimensions(funnelFilters(filters).ignored)).toEqual(["page", "goal", "prop:plan"]);
  });

  test("speed is of page loads", () => {
    expect(dimensions(speedFilters(filters).kept)).toEqual(["page", "country"]);
  });
});
