/** The URL is the state: every view is written and read back, and what cannot be read is the default. */

import { describe, expect, test } from "vitest";

import { readFilter, withFilter, writeFilter, type Filter } from "../src/view/filters";
import { carriedQuery } from "../src/view/navigation";
import { readView, writeView } from "../src/view/view";

describe("the view in the URL", () => {
  test("the first look needs no query", () => {
    expect(writeView(readView(""))).toBe("");
  });

  test.each([
    "?period=7d",
    "?period=custom&from=2026-01-31&to=2026-02-28",
    "?period=month&date=2026-02-01&compare=off",
    "?compare=custom&compare_from=2026-01-01&compare_to=2026-01-02&match=date",
    "?f=is,source,Google&f=is_not,page,/a\\,b,/c",
    "?segment=7&metric=bounce_rate&interval=week",
    "?sources=utm_campaign&pages=exit_page&places=language&devices=os_version",
    "?detail=prop:plan&search=x&sort=-visitors&page=3",
    "?view=performance&vital=cls&percentile=95&by=country&speed=timings",
    "?view=properties&property=plan",
    "?view=funnels&funnel=3",
  ])("%s", (search) => {
    expect(readView(writeView(readView(search)))).toEqual(readView(search));
    expect(decodeURIComponent(writeView(readView(search)))).toBe(search);
  });

  test("what cannot be read is the default", () => {
    const wrong = "?view=x&period=soon&metric=__proto__&f=is&f=like,page,a&percentile=3&page=-1&detail=toString&sort=1;2";
    expect(readView(wrong)).toEqual(readView(""));
  });

  test("a range that ends before it begins is none", () => {
    expect(readView("?period=custom&from=2026-02-02&to=2026-02-01").period.name).toBe("28d");
  });

  test("the frame around a shared dashboard is carried along, and nothing else", () => {
    expect(carriedQuery("?embed=true&period=7d&theme=dark")).toBe("embed=true&theme=dark");
  });
});

describe("filters", () => {
  const google: Filter = { operation: "is", dimension: "source", values: ["Google"] };

  test.each([
    google,
    { operation: "is_not", dimension: "page", values: ["/a,b", "\\", ""] },
    { operation: "contains", dimension: "prop:a,b\\c", values: ["ü ,"] },
  ] satisfies Filter[])("$dimension is written and read back", (filter) => {
    expect(readFilter(writeFilter(filter))).toEqual(filter);
  });

  test("another value takes the place of the first, but what is left out adds up", () => {
    const bing: Filter = { ...google, values: ["Bing"] };
    expect(withFilter([google], bing)).toEqual([bing]);
    const not = (...values: string[]): Filter => ({ operation: "is_not", dimension: "source", values });
    expect(withFilter([not("Google")], not("Bing"))).toEqual([not("Google", "Bing")]);
  });
});
