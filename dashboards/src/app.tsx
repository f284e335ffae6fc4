/** The frame around every screen: the toolbar, the filters that hold, the screen itself, dialogs, and what keys do. */

import type { ComponentChildren } from "preact";
import { useEffect, useErrorBoundary, useState } from "preact/hooks";

import { ApiError } from "./api/client";
import { CHOICES, rangeOf, shifted } from "./calendar/periods";
import { Lazy } from "./parts/lazy";
import { Failure } from "./parts/states";
import { NO_DETAIL, SCREENS, type Screen } from "./view/view";
import { useView } from "./view/navigation";
import { useSite } from "./view/site";
import { type Shortcuts, useShortcuts } from "./view/shortcuts";
import { Chips } from "./widgets/chips";
import { Detail } from "./widgets/detail";
import { FilterDialog } from "./widgets/filter_dialog";
import { HelpDialog } from "./widgets/help_dialog";
import { Overview } from "./widgets/overview";
import { RangeDialog, periodWords } from "./widgets/period_menu";
import { SCREEN_WORDS, ScreensNav } from "./widgets/screens";
import { NoHits } from "./widgets/no_hits";
import { Toolbar } from "./widgets/toolbar";

/** Which dialog is open; the list over the page is part of the view instead, since its URL can be shared. */
type Open = "filter" | "days" | "compare" | "help" | null;

export function App() {
  const { view, go } = useView();
  const { shell, today } = useSite();
  const [open, setOpen] = useState<Open>(null);
  const close = (): void => setOpen(null);
  useTitle(view.screen);
  useShortcuts(useKeys(setOpen));
  const range = rangeOf(view.period, today);
  const days = range === "all" ? { from: shell.first_day, to: today } : range;
  return (
    <>
      <Toolbar onOpen={setOpen} />
      <ScreensNav />
      <Chips />
      {!shell.has_hits && <NoHits />}
      <div class={`screen ${view.screen}`}>
        <Guarded key={view.screen}>
          <ScreenOf screen={view.screen} />
        </Guarded>
      </div>
      {view.detail !== null && <Detail dimension={view.detail} />}
      {open === "filter" && <FilterDialog editedAt={null} onClose={close} />}
      {open === "help" && <HelpDialog onClose={close} />}
      {open === "days" && (
        <RangeDialog
          title="Choose days"
          from={days.from}
          to={days.to}
          onChoose={(from, to) => go({ period: { name: "custom", from, to }, interval: null })}
          onClose={close}
        />
      )}
      {open === "compare" && (
        <RangeDialog
          title="Compare with"
          from={view.comparison.from ?? days.from}
          to={view.comparison.to ?? days.to}
          onChoose={(from, to) => go({ comparison: { ...view.comparison, mode: "custom", from, to } })}
          onClose={close}
        />
      )}
    </>
  );
}

/** A mistake in one screen leaves the way to the others. */
function Guarded({ children }: { readonly children: ComponentChildren }) {
  const [failure, reset] = useErrorBoundary((error: unknown) => console.error(error));
  if (failure === undefined) return <>{children}</>;
  return <Failure error={new ApiError(0, "This could not be shown. That is a mistake of ours.")} retry={reset} />;
}

/** The first look comes with the page; what is behind the other tabs comes when it is asked for. */
function ScreenOf({ screen }: { readonly screen: Screen }) {
  switch (screen) {
    case "overview":
      return <Overview />;
    case "performance":
      return <Lazy key={screen} load={() => import("./performance/screen").then((module) => module.Performance)} />;
    case "realtime":
      return <Lazy key={screen} load={() => import("./realtime/screen").then((module) => module.RealtimeScreen)} />;
    case "funnels":
      return <Lazy key={screen} load={() => import("./funnels/screen").then((module) => module.Funnels)} />;
    case "properties":
      return <Lazy key={screen} load={() => import("./properties/screen").then((module) => module.Properties)} />;
    case "drops":
      return <Lazy key={screen} load={() => import("./drops/screen").then((module) => module.Drops)} />;
  }
}

/** The window's title: what is shown, so that tabs and the history can be told apart. */
function useTitle(screen: Screen): void {
  const { view } = useView();
  const { shell, today } = useSite();
  const period = periodWords(view.period, today);
  useEffect(() => {
    const what = screen === "overview" ? "" : `${SCREEN_WORDS[screen]} · `;
    document.title = `${what}${shell.domain} · ${period} · Footfall`;
  }, [screen, shell.domain, period]);
}

function useKeys(setOpen: (open: Open) => void): Shortcuts {
  const { view, go } = useView();
  const { today } = useSite();
  const move = (by: -1 | 1): void => {
    const period = shifted(view.period, by, today);
    if (period) go({ period });
  };
  const { comparison } = view;
  return {
    ...Object.fromEntries(CHOICES.map(({ name, key }) => [key, () => go({ period: { name }, interval: null })])),
    ...Object.fromEntries(SCREENS.map((screen, at) => [String(at + 1), () => go({ ...NO_DETAIL, screen })])),
    C: () => setOpen("days"),
    X: () => go({ comparison: { mode: comparison.mode === "off" ? "previous" : "off", matchesWeekday: comparison.matchesWeekday } }),
    ArrowLeft: () => move(-1),
    ArrowRight: () => move(1),
    "/": () => setOpen("filter"),
    Escape: () => go({ filters: [], segmentId: null }),
    "?": () => setOpen("help"),
  };
}
