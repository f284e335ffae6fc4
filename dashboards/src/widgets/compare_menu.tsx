/** What the figures are compared with. */

import { Icon } from "../parts/icon";
import { Menu } from "../parts/menu";
import { ViewLink, useView } from "../view/navigation";
import { useSite } from "../view/site";
import { times } from "../words/speech";
import type { Comparison, ComparisonMode } from "../view/view";

const WORDS: Readonly<Record<ComparisonMode, string>> = {
  previous: "Period before",
  year: "Year before",
  custom: "Other days…",
  off: "Nothing",
};

export function comparisonWords(comparison: Comparison): string {
  const { mode, from, to } = comparison;
  if (mode === "custom" && from && to) return `vs ${times.range({ from, to })}`;
  return { previous: "vs period before", year: "vs year before", custom: "vs other days", off: "Not compared" }[mode];
}

export function CompareMenu({ onCustom }: { readonly onCustom: () => void }) {
  const { view } = useView();
  const { scope } = useSite();
  const { comparison } = view;
  if (scope.date_range === "all") return null;
  return (
    <Menu
      side="right"
      class="compare"
      name={`Compare: ${comparisonWords(comparison)}`}
      label={<><Icon name="compare" /> <span class="wide-only">{comparisonWords(comparison)}</span></>}
    >
      {(close) => (
        <ul>
          {(["previous", "year"] as const).map((mode) => (
            <li key={mode}>
              <ViewLink
                to={{ comparison: { mode, matchesWeekday: comparison.matchesWeekday } }}
                current={comparison.mode === mode}
                onFollow={close}
              >
                {WORDS[mode]}
              </ViewLink>
            </li>
          ))}
          <li>
            <button
              type="button"
              aria-current={comparison.mode === "custom" ? "true" : undefined}
              onClick={() => {
                close();
                onCustom();
              }}
            >
              {WORDS.custom}
            </button>
          </li>
          <li>
            <ViewLink
              to={{ comparison: { mode: "off", matchesWeekday: comparison.matchesWeekday } }}
              current={comparison.mode === "off"}
              onFollow={close}
            >
              {WORDS.off} <kbd>X</kbd>
            </ViewLink>
          </li>
          {(comparison.mode === "previous" || comparison.mode === "year") && (
            <>
              <li class="opens-group">
                <ViewLink to={{ comparison: { ...comparison, matchesWeekday: true } }} current={comparison.matchesWeekday} onFollow={close}>
                  Same days of the week
                </ViewLink>
              </li>
              <li>
                <ViewLink to={{ comparison: { ...comparison, matchesWeekday: false } }} current={!comparison.matchesWeekday} onFollow={close}>
                  Same dates
                </ViewLink>
              </li>
            </>
          )}
        </ul>
      )}
    </Menu>
  );
}
