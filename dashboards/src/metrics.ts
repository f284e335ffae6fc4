/** The figures: what they are called, how they read, and whether more is better. */

export type Unit = "count" | "percent" | "ratio" | "seconds" | "money" | "milliseconds" | "score" | "bytes";

export interface Metric {
  readonly label: string;
  readonly unit: Unit;
  /** What a rise means; null where it means neither. */
  readonly better: "up" | "down" | null;
  /** One sentence for whoever asks. */
  readonly about: string;
  /** What has to be among the filters. */
  readonly needs?: "goal" | "page";
}

const TABLE = {
  visitors: {
    label: "Visitors",
    unit: "count",
    better: "up",
    about:
      "People are told apart within one day only, without cookies. Over several days this is the sum of each day's visitors.",
  },
  visits: {
    label: "Visits",
    unit: "count",
    better: "up",
    about: "A visit ends after 30 minutes without activity, or at midnight.",
  },
  pageviews: { label: "Views", unit: "count", better: "up", about: "Pages seen." },
  views_per_visit: { label: "Views per visit", unit: "ratio", better: "up", about: "Views divided by visits." },
  bounce_rate: {
    label: "Bounce rate",
    unit: "percent",
    better: "down",
    about: "Visits with a single view, no event and under 10 seconds of attention.",
  },
  visit_duration: {
    label: "Visit duration",
    unit: "seconds",
    better: "up",
    about: "Mean time for which a page of the visit was visible and in focus.",
  },
  events: { label: "Events", unit: "count", better: "up", about: "Views and custom events." },
  scroll_depth: {
    label: "Scroll depth",
    unit: "percent",
    better: "up",
    about: "How far down a page was read, on average.",
    needs: "page",
  },
  time_on_page: {
    label: "Time on page",
    unit: "seconds",
    better: "up",
    about: "Mean attention a page got in a visit.",
    needs: "page",
  },
  conversion_rate: {
    label: "Conversion rate",
    unit: "percent",
    better: "up",
    about: "Share of visitors who reached the goal.",
    needs: "goal",
  },
  total_revenue: { label: "Revenue", unit: "money", better: "up", about: "Sum over all events with an amount." },
  average_revenue: {
    label: "Average revenue",
    unit: "money",
    better: "up",
    about: "Revenue divided by the events with an amount.",
  },
  percentage: { label: "Share", unit: "percent", better: null, about: "Share of all visitors of the period." },
  group_conversion_rate: {
    label: "Rate",
    unit: "percent",
    better: "up",
    about: "Share of this row's visitors who reached the goal.",
    needs: "goal",
  },
  exit_rate: { label: "Exit rate", unit: "percent", better: null, about: "Share of the page's views that ended a visit." },
} as const satisfies Record<string, Metric>;

export type MetricName = keyof typeof TABLE;

/** The six that the first look opens with. */
export const HEADLINES: readonly MetricName[] = [
  "visitors",
  "visits",
  "pageviews",
  "views_per_visit",
  "bounce_rate",
  "visit_duration",
];

/** With a goal among the filters: what became of it. */
export const GOAL_HEADLINES: readonly MetricName[] = [
  "visitors",
  "events",
  "conversion_rate",
  "visits",
  "total_revenue",
  "average_revenue",
];

/** Those that a chart may show. */
export const CHART_METRICS: readonly MetricName[] = [
  ...HEADLINES,
  "events",
  "scroll_depth",
  "time_on_page",
  "conversion_rate",
  "total_revenue",
  "average_revenue",
];

export function metricOf(name: MetricName): Metric {
  return TABLE[name];
}
