/**
 * The whole state of the dashboard, as it stands in the URL. What is not in the URL is the default, so short URLs stay short;
 * what cannot be read is the default too, so an old or mistyped link still opens.
 */

import { DEFAULT_PERIOD, type Interval, type Period, readPeriod } from "../calendar/periods";
import { type Day, isDay } from "../calendar/days";
import { CHART_METRICS, type MetricName } from "../metrics";
import { isDimension } from "../dimensions";
import { type Filter, readFilter, writeFilter } from "./filters";

export const SCREENS = ["overview", "performance", "realtime", "funnels", "properties", "drops"] as const;
export type Screen = (typeof SCREENS)[number];

export const COMPARISONS = ["previous", "year", "custom", "off"] as const;
export type ComparisonMode = (typeof COMPARISONS)[number];

export interface Comparison {
  readonly mode: ComparisonMode;
  readonly from?: Day;
  readonly to?: Day;
  /** Compare Mondays with Mondays rather than the 3rd with the 3rd. */
  readonly matchesWeekday: boolean;
}

const INTERVALS: readonly Interval[] = ["minute", "hour", "day", "week", "month"];

export const VITALS = ["lcp", "inp", "cls", "fcp", "ttfb"] as const;
export type Vital = (typeof VITALS)[number];

export const PERCENTILES = [50, 75, 90, 95, 99] as const;
export type Percentile = (typeof PERCENTILES)[number];

/** Which list each panel of the first look shows. */
export interface Tabs {
  readonly sources: string;
  readonly pages: string;
  readonly places: string;
  readonly devices: string;
}

const TAB_DEFAULTS: Tabs = { sources: "source", pages: "page", places: "country", devices: "browser" };

export interface View {
  readonly screen: Screen;
  readonly period: Period;
  readonly comparison: Comparison;
  readonly filters: readonly Filter[];
  readonly segmentId: number | null;
  readonly metric: MetricName;
  readonly interval: Interval | null;
  readonly tabs: Tabs;
  /** The dimension whose whole list is open over the page. */
  readonly detail: string | null;
  readonly search: string;
  /** `<metric>` or `-<metric>`: ascending by it, or descending. */
  readonly sort: string | null;
  /** From 1. */
  readonly page: number;
  readonly vital: Vital;
  readonly percentile: Percentile;
  /** What the Performance tables are broken down by, and whether they show vitals or timings. */
  readonly breakdown: string;
  readonly speed: "vitals" | "timings";
  readonly property: string | null;
  readonly funnelId: number | null;
}

/** What closes the list over the page. */
export const NO_DETAIL = { detail: null, search: "", sort: null, page: 1 } as const satisfies Partial<View>;

/** What the Performance tables may be by. */
export const BREAKDOWNS: readonly string[] = ["page", "device", "browser", "country", "os"];

function oneOf<T extends string>(allowed: readonly T[], given: string | null, otherwise: T): T {
  return allowed.find((each) => each === given) ?? otherwise;
}

function numberOf(given: string | null): number | null {
  return given !== null && /^\d{1,9}$/.test(given) ? Number(given) : null;
}

function dimensionIn(given: string | null, otherwise: string): string {
  return given !== null && isDimension(given) ? given : otherwise;
}

function readComparison(query: URLSearchParams): Comparison {
  const mode = oneOf(COMPARISONS, query.get("compare"), "previous");
  const matchesWeekday = query.get("match") !== "date";
  const [from, to] = [query.get("compare_from") ?? "", query.get("compare_to") ?? ""];
  if (mode !== "custom") return { mode, matchesWeekday };
  if (isDay(from) && isDay(to) && from <= to) return { mode, from, to, matchesWeekday };
  return { mode: "previous", matchesWeekday };
}

/** The view of a URL's query. */
export function readView(search: string): View {
  const query = new URLSearchParams(search);
  const text = (name: string): string => query.get(name) ?? "";
  const percentile = PERCENTILES.find((each) => each === numberOf(query.get("percentile"))) ?? 75;
  return {
    screen: oneOf(SCREENS, query.get("view"), "overview"),
    period: readPeriod(text("period"), text("date"), text("from"), text("to")),
    comparison: readComparison(query),
    filters: query.getAll("f").flatMap((each) => readFilter(each) ?? []),
    segmentId: numberOf(query.get("segment")),
    metric: oneOf(CHART_METRICS, query.get("metric"), "visitors"),
    interval: INTERVALS.find((each) => each === query.get("interval")) ?? null,
    tabs: {
      sources: dimensionIn(query.get("sources"), TAB_DEFAULTS.sources),
      pages: dimensionIn(query.get("pages"), TAB_DEFAULTS.pages),
      places: dimensionIn(query.get("places"), TAB_DEFAULTS.places),
      devices: dimensionIn(query.get("devices"), TAB_DEFAULTS.devices),
    },
    detail: dimensionIn(query.get("detail"), "") || null,
    search: text("search"),
    sort: /^-?[a-z_]+$/.test(text("sort")) ? text("sort") : null,
    page: Math.max(1, numberOf(query.get("page")) ?? 1),
    vital: oneOf(VITALS, query.get("vital"), "lcp"),
    percentile,
    breakdown: oneOf(BREAKDOWNS, query.get("by"), "page"),
    speed: oneOf(["vitals", "timings"], query.get("speed"), "vitals"),
    property: query.get("property") || null,
    funnelId: numberOf(query.get("funnel")),
  };
}

/** The query of a view, "" for the default one, with its question mark otherwise. */
export function writeView(view: View): string {
  const query = new URLSearchParams();
  const put = (name: string, value: string | number | null | undefined, usual: string | number | null = null): void => {
    if (value !== null && value !== undefined && value !== usual) query.set(name, String(value));
  };
  const { period, comparison, tabs } = view;
  put("view", view.screen, "overview");
  put("period", period.name, DEFAULT_PERIOD.name);
  put("date", period.date);
  put("from", period.from);
  put("to", period.to);
  put("compare", comparison.mode, "previous");
  put("compare_from", comparison.from);
  put("compare_to", comparison.to);
  put("match", comparison.matchesWeekday ? null : "date");
  view.filters.forEach((filter) => query.append("f", writeFilter(filter)));
  put("segment", view.segmentId);
  put("metric", view.metric, "visitors");
  put("interval", view.interval);
  for (const name of ["sources", "pages", "places", "devices"] as const) put(name, tabs[name], TAB_DEFAULTS[name]);
  put("detail", view.detail);
  put("search", view.search, "");
  put("sort", view.sort);
  put("page", view.page, 1);
  put("vital", view.vital, "lcp");
  put("percentile", view.percentile, 75);
  put("by", view.breakdown, "page");
  put("speed", view.speed, "vitals");
  put("property", view.property);
  put("funnel", view.funnelId);
  const written = readable(query.toString());
  return written && `?${written}`;
}

/** Commas, slashes and colons may stand in a query as they are (RFC 3986, 3.4), and read better. */
function readable(query: string): string {
  return query.replaceAll("%2C", ",").replaceAll("%2F", "/").replaceAll("%3A", ":");
}
