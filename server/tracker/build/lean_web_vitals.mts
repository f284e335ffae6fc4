/**
 * web-vitals as it is, without what this tracker never asks of it: ratings, deltas, ids, entries for attribution, options that
 * are always the same, and pages that are still prerendered (this part of the tracker loads after activation).
 *
 * How it measures is not touched. A change that no longer applies, such as after an upgrade, fails the build.
 */

import { fileURLToPath } from "node:url";

import type { Plugin } from "rolldown";

const PARTS = fileURLToPath(new URL("../src/web_vitals_parts/", import.meta.url));

/** Modules of web-vitals' `lib` and ours in their place. */
const REPLACED: Readonly<Record<string, string>> = {
  bfcache: "bfcache.ts",
  bindReporter: "bind_reporter.ts",
  initMetric: "init_metric.ts",
  interactionCountPolyfill: "interaction_count.ts",
  whenActivated: "when_activated.ts",
};

/** Text in its modules and what stands there instead. */
const CUT: readonly (readonly [what: RegExp, by: string])[] = [
  [/, \w+Thresholds, opts\.reportAllChanges/g, ""],
  [/initUnique\(opts, (\w+)\)/g, "new $1()"],
  [/\breport\(true\)/g, "report()"],
  [/\(onReport, opts = {}\)/g, "(onReport)"],
  [/opts\.reportAllChanges/g, "true"],
  [/opts\.durationThreshold/g, "undefined"],
  [/document\.prerendering/g, "false"],
  [/^ +metric\.entries.*;$/gm, ""],
  [/^ +(this\.)?_on\w+(\?\.\(\w+\))?;$/gm, ""],
  [/^ +(const )?lcpEntryManager\b.*;$/gm, ""],
  [/^ +(add|remove)EventListener\('prerenderingchange'.*;$/gm, ""],
  [/^ +interaction\.entries = .*;$/gm, ""],
  [/else if \(entry\.duration === interaction\._latency &&[^}]+}/, ""],
  [/^ +entries: \[entry\],$/gm, ""],
];

export function leanWebVitals(): Plugin {
  const names = new Map<string, string>();
  const replaced = new Set<string>();
  const cut = new Set<RegExp>();
  return {
    name: "footfall-lean-web-vitals",
    resolveId(id, importer) {
      const part = /(\w+)\.js$/.exec(id)?.[1] ?? "";
      const ours = REPLACED[part];
      if (ours === undefined || !importer?.includes("/web-vitals/")) return undefined;
      replaced.add(part);
      return PARTS + ours;
    },
    transform(code, id) {
      if (!id.includes("/web-vitals/")) return undefined;
      let lean = code;
      for (const [what, by] of CUT) {
        if (lean.search(what) >= 0) cut.add(what);
        lean = lean.replace(what, by);
      }
      // What begins with an underscore is private to the library.
      return lean.replace(/\b_[a-zA-Z]\w+/g, (name) => {
        const short = `_${name.charAt(1)}${name.slice(2).replace(/[^A-Z]/g, "")}`;
        const other = names.get(short) ?? name;
        if (other !== name) this.error(`${name} and ${other} of web-vitals would have the same short name`);
        names.set(short, name);
        return short;
      });
    },
    buildEnd(error) {
      if (error || names.size === 0) return;
      const unused = [...Object.keys(REPLACED).filter((part) => !replaced.has(part)), ...CUT.filter(([what]) => !cut.has(what))];
      if (unused.length > 0) this.error(`web-vitals has changed; these changes to it no longer apply: ${unused.join(" ")}`);
    },
  };
}
