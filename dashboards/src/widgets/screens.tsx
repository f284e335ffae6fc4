/** The screens of the dashboard and the way to each. */

import { useLayoutEffect, useRef } from "preact/hooks";

import { NO_DETAIL, SCREENS, type Screen } from "../view/view";
import { ViewLink, useView } from "../view/navigation";

export const SCREEN_WORDS: Readonly<Record<Screen, string>> = {
  overview: "Overview",
  performance: "Performance",
  realtime: "Realtime",
  funnels: "Funnels",
  properties: "Properties",
  drops: "Dropped hits",
};

export function ScreensNav() {
  const { view } = useView();
  const list = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    // On a phone not all fit: the chosen one is brought into the middle.
    const nav = list.current;
    const chosen = nav?.querySelector<HTMLElement>("[aria-current]");
    if (nav && chosen) nav.scrollLeft = chosen.offsetLeft - (nav.clientWidth - chosen.offsetWidth) / 2;
  }, [view.screen]);
  return (
    <nav class="screens" aria-label="Views of this site" ref={list}>
      <ul>
        {SCREENS.map((screen) => (
          <li key={screen}>
            <ViewLink to={{ ...NO_DETAIL, screen }} current={view.screen === screen}>
              {SCREEN_WORDS[screen]}
            </ViewLink>
          </li>
        ))}
      </ul>
    </nav>
  );
}
