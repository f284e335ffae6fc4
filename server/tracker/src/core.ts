/**
 * The core: page views, and the events that the page itself sends. Everything else waits for `load` (see rest.ts).
 *
 * Written for size: each byte is paid before the page is there. Stores nothing in the browser, and reads one thing from its
 * storage: the flag with which somebody keeps their own visits out.
 */

/** What `footfall(name, options)` takes beside the name. */
export interface EventOptions {
  /** Up to 30 properties; numbers and booleans are kept as text. */
  props?: Record<string, string | number | boolean> | undefined;
  revenue?: { amount: number | string; currency: string } | undefined;
  /** false: the event does not end a bounce. */
  interactive?: boolean | undefined;
  /** In place of the page's own address. */
  url?: string | undefined;
  callback?: (outcome: Outcome) => void;
}

/** How an event went: answered, with the reason when it was dropped; not answered; or, as `{}`, not sent on purpose. */
export interface Outcome {
  status?: number;
  dropped?: string | null;
  /** What went wrong. Old browsers only tell whether something did. */
  error?: unknown;
}

/** The page's way to send events; `x` is what the part after `load` works with, and says that the core is there. */
export type Track = ((name: string, options?: EventOptions) => void) & { x?: Core };

/** What the part after `load` works with. The two may be of different releases for an hour, so names here stay what they are. */
export interface Core {
  /** Sends a hit; the last argument is laid over its body. */
  s: (name: string, options?: EventOptions, more?: object) => void;
  /** What the page set. */
  o: Settings;
  /** The address of the page view that is open. */
  u?: string;
  /** When it began, on `performance.now()`'s clock. */
  t: number;
  /** Called before another page view begins. */
  v?: () => void;
}

/**
 * What a page can set: the script's data attributes, so a flag is on when it is there. `hash`: the fragment belongs to the
 * path; `manual`: the page sends its views itself; `local`: count on localhost and files too; `gpc`: leave out whoever asks for
 * it by Global Privacy Control.
 */
export type Settings = Partial<Record<"domain" | "api" | "hash" | "manual" | "local" | "gpc" | "404", string>>;

/** Begins to count. Hits go to `api`; `more` is called after `load`, unless this visitor is not counted. */
export function start(settings: Settings, api: string, more: (core: Core) => void): Track {
  const h = "hash" in settings;
  let l: string;
  let path: string | undefined;
  let ignored =
    (!("local" in settings) && /^(localhost|127\..*|\[::1])?$/.test(location.hostname)) ||
    ("gpc" in settings && navigator.globalPrivacyControl);
  try {
    ignored ||= localStorage.footfall_ignore || localStorage.plausible_ignore;
  } catch {
    // The page may not read storage: then there is no flag.
  }

  const core: Core = {
    s(n, { url: u = location.href, props: p, revenue: $, interactive: i, callback = () => {} } = {}, extra) {
      if (n == "pageview") {
        core.v?.();
        core.u = u;
        core.t = performance.now();
      }
      const body = JSON.stringify({
        n,
        u,
        p,
        $,
        i,
        l,
        h,
        d: settings.domain,
        r: document.referrer,
        sw: screen.width,
        sh: screen.height,
        wd: navigator.webdriver,
        ...extra,
      });
      if (ignored) callback({});
      else if ("keepalive" in Request.prototype)
        fetch(api, { method: "POST", body, keepalive: true }).then(
          (answer) => callback({ status: answer.status, dropped: answer.headers.get("X-Footfall-Dropped") }),
          (error) => callback({ error }),
        );
      else callback({ error: !navigator.sendBeacon(api, body) });
    },
    o: settings,
    t: 0,
  };

  const view = () => {
    const now = location.pathname + (h ? location.hash : "");
    // A page becomes visible before it stops being prerendered; what it sends in between counts as prefetched.
    if (now != path && !document.hidden && !document.prerendering) {
      path = now;
      core.s("pageview");
    }
  };
  const open = () => {
    l = Math.random().toString(16).slice(2);
    path = "";
    if (!("manual" in settings)) view();
  };
  const track: Track = (name, options) => {
    if (document.prerendering) addEventListener("prerenderingchange", () => track(name, options), true);
    else core.s(name, options);
  };

  track.x = core;
  if (!("manual" in settings)) {
    for (const name of ["pushState", "replaceState"] as const) {
      const original = history[name];
      history[name] = function (...given) {
        original.apply(this, given);
        view();
      };
    }
    for (const name of ["popstate", "hashchange", "visibilitychange", "prerenderingchange"])
      addEventListener(name, view, true);
  }
  addEventListener("pageshow", (event) => {
    if (event.persisted) open();
  });
  open();

  const after = () => {
    if (document.prerendering) addEventListener("prerenderingchange", after, true);
    else if (document.readyState == "complete") more(core);
    else addEventListener("load", after);
  };
  if (!ignored) after();
  return track;
}
