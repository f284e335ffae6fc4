/**
 * The words of the Performance screen: vitals with their thresholds, the timings of a navigation, percentiles.
 *
 * Thresholds are those of https://web.dev/articles/vitals (LCP, INP, CLS), https://web.dev/articles/fcp and
 * https://web.dev/articles/ttfb: good up to the first, poor beyond the second.
 */

import type { Unit } from "./metrics";
import type { Vital } from "./view/view";

export type Rating = "good" | "needs improvement" | "poor";

export const RATINGS: readonly Rating[] = ["good", "needs improvement", "poor"];

export interface VitalTerms {
  readonly short: string;
  readonly long: string;
  readonly about: string;
  readonly unit: Unit;
  readonly goodUpTo: number;
  readonly poorBeyond: number;
}

export const VITAL_TERMS: Readonly<Record<Vital, VitalTerms>> = {
  lcp: {
    short: "LCP",
    long: "Largest Contentful Paint",
    about: "When the largest text or picture of the page was there.",
    unit: "milliseconds",
    goodUpTo: 2500,
    poorBeyond: 4000,
  },
  inp: {
    short: "INP",
    long: "Interaction to Next Paint",
    about: "How long the page took to react to the slowest clicks and keys.",
    unit: "milliseconds",
    goodUpTo: 200,
    poorBeyond: 500,
  },
  cls: {
    short: "CLS",
    long: "Cumulative Layout Shift",
    about: "How much the page moved while one looked at it; a score without a unit.",
    unit: "score",
    goodUpTo: 0.1,
    poorBeyond: 0.25,
  },
  fcp: {
    short: "FCP",
    long: "First Contentful Paint",
    about: "When the first text or picture was there.",
    unit: "milliseconds",
    goodUpTo: 1800,
    poorBeyond: 3000,
  },
  ttfb: {
    short: "TTFB",
    long: "Time to First Byte",
    about: "When the first byte of the answer arrived, counted from the click.",
    unit: "milliseconds",
    goodUpTo: 800,
    poorBeyond: 1800,
  },
};

export function ratingOf(vital: Vital, value: number): Rating {
  const { goodUpTo, poorBeyond } = VITAL_TERMS[vital];
  if (value <= goodUpTo) return "good";
  return value <= poorBeyond ? "needs improvement" : "poor";
}

/** The timings of a navigation (https://www.w3.org/TR/navigation-timing-2/), in the order in which they happen. */
export const TIMINGS = ["dns", "connect", "tls", "ttfb", "download", "dom_interactive", "dom_content_loaded", "load"] as const;

export type Timing = (typeof TIMINGS)[number];

export const TIMING_WORDS: Readonly<Record<Timing, string>> = {
  dns: "Name lookup",
  connect: "Connect",
  tls: "TLS",
  ttfb: "First byte",
  download: "Download",
  dom_interactive: "DOM interactive",
  dom_content_loaded: "DOM content loaded",
  load: "Load event",
};

/** A part of a waterfall: how it is called, where it begins and ends, in ms since the navigation began. */
export interface Span {
  readonly name: string;
  readonly tone: string;
  readonly from: number;
  readonly to: number;
  /** A moment rather than a stretch. */
  readonly isMoment: boolean;
}

export const PHASES = ["dns", "connect", "tls", "wait", "download"] as const;

export const PHASE_WORDS: Readonly<Record<(typeof PHASES)[number], string>> = {
  dns: "Name lookup",
  connect: "Connect",
  tls: "TLS",
  wait: "Server and network",
  download: "Download",
};

/** Durations of the phases; the wait is what the first byte took beyond those before it. */
export function phasesOf(timings: Readonly<Record<Timing, number | null>>): Readonly<Record<(typeof PHASES)[number], number>> {
  const [dns, connect, tls] = [timings.dns ?? 0, timings.connect ?? 0, timings.tls ?? 0];
  const wait = Math.max(0, (timings.ttfb ?? 0) - dns - connect - tls);
  return { dns, connect, tls, wait, download: timings.download ?? 0 };
}

/** The waterfall of a page load: phases one after the other, then the moments of the document. */
export function waterfallOf(timings: Readonly<Record<Timing, number | null>>): readonly Span[] {
  const phases = phasesOf(timings);
  let at = 0;
  const spans: Span[] = PHASES.map((phase, order) => {
    const from = at;
    at += phases[phase];
    return { name: PHASE_WORDS[phase], tone: `layer-${order + 1}`, from, to: at, isMoment: false };
  });
  const moments = (["dom_interactive", "dom_content_loaded", "load"] as const).flatMap((name) => {
    const value = timings[name];
    return value === null ? [] : [{ name: TIMING_WORDS[name], tone: "moment", from: 0, to: value, isMoment: true }];
  });
  return [...spans, ...moments];
}

/** How a percentile reads: what it says of page loads. */
export function percentileWords(percentile: number): string {
  return percentile === 50 ? "Half of all page loads were at least this fast" : `${percentile}% of page loads were at least this fast`;
}
