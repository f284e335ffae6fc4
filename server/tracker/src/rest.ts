/**
 * What waits for `load`: engaged time and scroll depth, clicks and forms that are events, pages that are not there, navigation
 * timings and web vitals.
 */

import type { Metric } from "web-vitals";
import { onCLS } from "web-vitals/onCLS.js";
import { onFCP } from "web-vitals/onFCP.js";
import { onINP } from "web-vitals/onINP.js";
import { onLCP } from "web-vitals/onLCP.js";

import type { Core, EventOptions } from "./core";

/** Less engaged time waits for more: leaving and coming back in between would send a hit each time. */
const ENGAGED_LEAST_MS = 1000;

/** Files whose links are downloads. */
const FILE = /\.(pdf|xlsx?|docx?|pptx?|txt|rtf|csv|exe|dmg|apk|7z|zip|rar|gz|avi|mov|mp[34]|mpeg|wmv|wav)$/i;

/** A class or attribute that makes an event, `=` before its value: Plausible's classes, Umami's attributes. */
const TAG = /^(?:plausible-(event|revenue)|data-umami-event)-?(.*?)(?:=|--)([^]+)/;

/** Begins. One function, since each further one costs bytes. */
export function rest(core: Core): void {
  // -- Engaged time and scroll depth: sent when a page is left or hidden.
  let since = core.t;
  let engaged = 0;
  let deepest = 0;
  let told = 0;

  const tick = () => {
    const now = performance.now();
    if (since) engaged += now - since;
    since = !document.hidden && document.hasFocus() ? now : 0;
  };
  const scroll = () => {
    deepest = Math.max(deepest, scrollY + innerHeight);
  };
  const leave = () => {
    tick();
    scroll();
    const sd = Math.round((deepest / document.documentElement.scrollHeight) * 100);
    if (core.u && (engaged >= ENGAGED_LEAST_MS || sd > told)) {
      core.s("engagement", { url: core.u }, { e: engaged, sd });
      engaged = 0;
      told = sd;
    }
  };
  core.v = () => {
    leave();
    engaged = deepest = told = 0;
  };

  // -- Clicks and forms that are events: tagged elements, links to other hosts and to files, submissions.
  const act = (event: Event & { button?: number }) => {
    const isForm = event.type == "submit";
    const target = event.target as Element;
    // The right button opens a menu; and a page may dispatch a click at something that is no element.
    if (event.button! > 1 || !target.closest) return;
    const link = target.closest<HTMLAnchorElement>("a[href]");
    let name: string | undefined;
    let props: Record<string, string> = {};
    let revenue: Record<string, string> = {};
    // A form's own tag is for its submission, not for the clicks in it.
    for (let at: Element | null = target; at && !name && (isForm || at.tagName != "FORM"); at = at.parentElement) {
      props = {};
      revenue = {};
      for (const text of [...at.classList, ...Array.from(at.attributes, (each) => each.name + "=" + each.value)]) {
        const [, kind, key, value] = TAG.exec(text) || [];
        if (value) {
          const words = kind ? value.replace(/\+/g, " ") : value;
          if (kind ? key == "name" : !key) name = words;
          else (kind == "revenue" ? revenue : props)[key!] = words;
        }
      }
    }
    if (isForm) {
      name ||= "Form: Submission";
      props.path = location.pathname;
    } else if (link?.host) {
      name ||= FILE.test(link.pathname) ? "File Download" : link.host != location.host ? "Outbound Link: Click" : "";
      // What follows the path may be about the visitor.
      props.url = link.origin + link.pathname;
    }
    if (name) core.s(name, { props, revenue: (revenue.amount && revenue) as EventOptions["revenue"] });
  };

  // -- Speed: navigation timings once, and vitals each time the page is hidden, as far as they have changed.
  let landing = core.u;
  let sequence = 0;
  let vitals: Record<string, number> | undefined;

  const report = (name: string, w: object) => core.s(name, { url: landing }, { w, q: ++sequence });
  const note = ({ name, value }: Pick<Metric, "name" | "value">) => {
    (vitals ||= {})[name.toLowerCase()] = value;
  };
  for (const measure of [onCLS, onFCP, onINP, onLCP]) measure(note);

  for (const type of ["click", "auxclick", "submit"]) addEventListener(type, act, true);
  addEventListener("focus", tick);
  addEventListener("blur", tick);
  addEventListener("scroll", scroll);
  // web-vitals' own listeners come before this one: theirs capture.
  document.addEventListener("visibilitychange", () => {
    tick();
    if (document.hidden) {
      leave();
      if (vitals) report("vitals", vitals);
      vitals = undefined;
    }
  });
  // A restored page is a load of its own, and was there at once.
  addEventListener("pageshow", (event) => {
    if (event.persisted) {
      landing = core.u;
      note({ name: "TTFB", value: 0 });
    }
  });
  tick();
  // The load event ends after its last listener.
  setTimeout(() => {
    const entry = performance.getEntriesByType("navigation")[0] as PerformanceNavigationTiming;
    const tls = entry.secureConnectionStart;
    // A prefetched page may have been there before it was asked for.
    const span = (from: number, to: number) => Math.max(to - from, 0);
    // As web-vitals does, which takes 90 bytes more. Only Chromium prerenders.
    if (entry.responseStart)
      note({ name: "TTFB", value: span(entry.activationStart || 0, entry.responseStart) });
    report("timings", {
      dns: span(entry.domainLookupStart, entry.domainLookupEnd),
      connect: span(entry.connectStart, tls || entry.connectEnd),
      tls: tls ? span(tls, entry.connectEnd) : null,
      download: span(entry.responseStart, entry.responseEnd),
      dom_interactive: entry.domInteractive,
      dom_content_loaded: entry.domContentLoadedEventEnd,
      load: entry.loadEventEnd,
      transfer_bytes: entry.transferSize,
    });
    if (entry.responseStatus == 404 || "404" in core.o)
      core.s("404", { props: { path: location.pathname }, interactive: false });
  });
}
