/**
 * The tracker as a module, for pages that are built with a bundler or load modules:
 *
 *     import { init, track } from "https://your-footfall/js/footfall.mjs";
 *     init({ domain: "example.com" });
 *     track("Signup", { props: { plan: "pro" } });
 */

import { type EventOptions, type Outcome, type Settings, start, type Track } from "./core";
import { rest } from "./rest";

export type { EventOptions, Outcome };

export interface InitOptions {
  /** The site, as Footfall knows it; without it the page's own hostname. */
  domain?: string;
  /** Where hits go; without it `/api/event` of where this module came from. */
  endpoint?: string;
  /** The fragment belongs to the path. */
  hash?: boolean;
  /** Page views are sent by `track("pageview")` alone. */
  manual?: boolean;
  /** Count on localhost and files too. */
  local?: boolean;
  /** Leave out whoever asks for it by Global Privacy Control. */
  gpc?: boolean;
}

let tracker: Track | undefined;

/** Begins to count; a further call changes nothing. */
export function init({ domain, endpoint, ...flags }: InitOptions = {}): void {
  if (tracker) return;
  const settings: Settings = domain === undefined ? {} : { domain };
  for (const flag of ["hash", "manual", "local", "gpc"] as const) if (flags[flag]) settings[flag] = "";
  tracker = start(settings, new URL(endpoint ?? "/api/event", import.meta.url).href, rest);
}

/** Sends an event of the page's own. Throws when `init` was not called. */
export function track(name: string, options?: EventOptions): void {
  if (!tracker) throw new Error("footfall: call init() before track()");
  tracker(name, options);
}
