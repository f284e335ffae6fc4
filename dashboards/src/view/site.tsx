/** What every widget needs besides the view: the site, the moment, and the scope of its questions. */

import { type ComponentChildren, createContext } from "preact";
import { useContext, useEffect, useMemo, useState } from "preact/hooks";

import { type Scope, scopeOf } from "../api/query";
import { todayIn } from "../calendar/days";
import type { Shell } from "../shell";
import type { Filter } from "./filters";
import { useView } from "./navigation";

export interface Site {
  readonly shell: Shell;
  readonly nowMs: number;
  readonly today: string;
  readonly scope: Scope;
  /** Whether the filters choose goals, so that figures count conversions, and pages. */
  readonly has: { readonly goal: boolean; readonly page: boolean };
}

const Context = createContext<Site | null>(null);

export function useSite(): Site {
  const site = useContext(Context);
  if (!site) throw new Error("outside of SiteProvider");
  return site;
}

function chooses(filters: readonly Filter[], dimension: string): boolean {
  return filters.some((filter) => filter.dimension === dimension && !filter.operation.endsWith("_not"));
}

/** How often the moment moves on: often enough that a new day begins when it does. */
const MOMENT_MS = 60_000;

export function SiteProvider({ shell, children }: { readonly shell: Shell; readonly children: ComponentChildren }) {
  const { view } = useView();
  const [nowMs, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), MOMENT_MS);
    return () => clearInterval(timer);
  }, []);
  const today = todayIn(shell.timezone, nowMs);
  const site = useMemo<Site>(
    () => ({
      shell,
      nowMs,
      today,
      scope: scopeOf(shell, view, nowMs),
      has: { goal: chooses(view.filters, "goal"), page: chooses(view.filters, "page") },
    }),
    [shell, nowMs, today, view],
  );
  return <Context.Provider value={site}>{children}</Context.Provider>;
}
