/** What the page that carries the dashboard told it: the site, who looks, and where to go. Read once. */

import type { Day } from "./calendar/days";

export interface Shell {
  readonly domain: string;
  readonly timezone: string;
  /** A guest who may change the site is an admin here. Null for whoever came by a share link. */
  readonly role: "viewer" | "admin" | "owner" | null;
  readonly user_id: number | null;
  /** The share link's slug, sent with every request. */
  readonly share: string | null;
  readonly is_embedded: boolean;
  /** The other sites one may go to. */
  readonly sites: readonly string[];
  /** From when on there may be figures, in the site's calendar. */
  readonly first_day: Day;
  /** Whether a hit has ever arrived. */
  readonly has_hits: boolean;
  /** Whether the account's plan lets its members take single events along. */
  readonly has_event_export: boolean;
  readonly links: {
    readonly install: string | null;
    readonly settings: string | null;
    /** Where one chooses mails about the site; null for whoever may not. */
    readonly reports: string | null;
    readonly overview: string | null;
  };
}

export function readShell(element: HTMLElement): Shell {
  return JSON.parse(element.dataset["shell"] ?? "") as Shell;
}

/** Whether one may change goals, funnels, annotations and everybody's segments. */
export function mayManage(shell: Shell): boolean {
  return shell.role === "admin" || shell.role === "owner";
}

/** The address of a site's pages; a domain may have a path, whose slashes are the domain's own. */
export function sitePath(domain: string): string {
  return `/sites/${encodeURIComponent(domain)}`;
}
