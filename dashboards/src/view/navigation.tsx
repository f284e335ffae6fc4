/**
 * Where one is: the view of the URL, links to other views, and going there.
 *
 * A view is reached by a link wherever it can be, so that it opens in a new tab, is copied, and is in the history. `embed` and
 * `theme` of a shared link belong to the frame around the page and are carried along.
 */

import { type ComponentChildren, createContext } from "preact";
import { useContext, useEffect, useMemo, useState } from "preact/hooks";

import { type View, readView, writeView } from "./view";

/** Fields of the view to change; `View` is flat, so that is all a link says. */
export type Change = Partial<View>;

export interface Navigation {
  readonly view: View;
  readonly href: (change: Change) => string;
  readonly go: (change: Change, how?: { readonly replaces?: boolean }) => void;
}

const Context = createContext<Navigation | null>(null);

/** The view and the ways on from it. */
export function useView(): Navigation {
  const navigation = useContext(Context);
  if (!navigation) throw new Error("outside of ViewProvider");
  return navigation;
}

const CARRIED = ["embed", "theme"] as const;

/** The part of a query that is not the dashboard's own. */
export function carriedQuery(search: string): string {
  const given = new URLSearchParams(search);
  const kept = new URLSearchParams();
  for (const name of CARRIED) {
    const value = given.get(name);
    if (value !== null) kept.set(name, value);
  }
  return kept.toString();
}

export function ViewProvider({ children }: { readonly children: ComponentChildren }) {
  const [search, setSearch] = useState(location.search);
  useEffect(() => {
    const follow = (): void => setSearch(location.search);
    addEventListener("popstate", follow);
    return () => removeEventListener("popstate", follow);
  }, []);

  const navigation = useMemo<Navigation>(() => {
    const view = readView(search);
    const carried = carriedQuery(search);
    const href = (change: Change): string => {
      const written = writeView({ ...view, ...change });
      const query = [written.replace(/^\?/, ""), carried].filter(Boolean).join("&");
      return location.pathname + (query && `?${query}`);
    };
    const go: Navigation["go"] = (change, { replaces = false } = {}) => {
      const target = href(change);
      if (target === location.pathname + location.search) return;
      history[replaces ? "replaceState" : "pushState"](null, "", target);
      setSearch(location.search);
    };
    return { view, href, go };
  }, [search]);

  return <Context.Provider value={navigation}>{children}</Context.Provider>;
}

interface LinkProps {
  readonly to: Change;
  readonly class?: string;
  readonly title?: string;
  readonly label?: string;
  readonly current?: boolean;
  readonly onFollow?: () => void;
  readonly children: ComponentChildren;
  readonly [attribute: `data-${string}`]: string | undefined;
}

/** A link to the view with a change. */
export function ViewLink({ to, current, label, onFollow, children, ...attributes }: LinkProps) {
  const { href, go } = useView();
  const follow = (event: MouseEvent): void => {
    onFollow?.();
    const opensElsewhere = event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey;
    if (opensElsewhere) return;
    event.preventDefault();
    go(to);
  };
  return (
    <a
      href={href(to)}
      onClick={follow}
      {...(label === undefined ? {} : { "aria-label": label })}
      {...(current ? { "aria-current": "true" as const } : {})}
      {...attributes}
    >
      {children}
    </a>
  );
}
