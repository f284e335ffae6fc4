/**
 * A panel of the first look: the values of a dimension with most visitors, each a link that filters by it, and beside it one
 * that leaves it out. Its tabs are other dimensions of the same kind.
 */

import type { ComponentChildren } from "preact";

import type { Row } from "../api/query";
import { useQuery } from "../api/use_query";
import { dimensionOf } from "../dimensions";
import { Figure } from "../parts/figure";
import { Icon } from "../parts/icon";
import { Menu } from "../parts/menu";
import { Answer, Empty } from "../parts/states";
import { useNear } from "../parts/use_near";
import { NO_DETAIL, type Screen, type Tabs } from "../view/view";
import { ViewLink, useView } from "../view/navigation";
import { useSite } from "../view/site";
import { amount } from "../words/numbers";
import { type Breakdown, breakdownOf, filtersFor, rowName } from "./breakdown";

/** A tab, or several under one head. */
export type Tab = string | { readonly label: string; readonly dimensions: readonly string[] };

interface ListPanelProps {
  readonly panel: keyof Tabs;
  readonly title: string;
  readonly tabs: readonly Tab[];
  /** Short names for tabs, where the dimension's own are too long. */
  readonly words?: Readonly<Record<string, string>>;
  readonly rows?: number;
  /** Above the list, such as the map, which needs more rows than the list shows. */
  readonly above?: { readonly limit: number; readonly show: (rows: readonly Row[]) => ComponentChildren } | undefined;
  /** Under the list, such as where the data come from. */
  readonly below?: ComponentChildren;
}

/** As many as fit beside the others on a screen. */
const ROWS = 8;
/** How many rows are as high as the map. */
const ROWS_OF_MAP = 8;

export function ListPanel({ panel, title, tabs, words = {}, rows = ROWS, above, below }: ListPanelProps) {
  const [element, isNear] = useNear<HTMLElement>();
  const { view } = useView();
  const chosen = view.tabs[panel];
  const breakdown = breakdownOf(chosen, view.filters);
  return (
    <section class="panel" ref={element} aria-label={title} style={{ "--rows": rows }}>
      <header>
        <h2>{title}</h2>
        <PanelTabs panel={panel} tabs={tabs} words={words} />
      </header>
      <TopRows breakdown={breakdown} rows={rows} isNear={isNear} above={above} />
      <footer>
        {below}
        <ViewLink to={{ ...NO_DETAIL, detail: chosen }} class="all">
          All {dimensionOf(chosen).plural.toLowerCase()}
        </ViewLink>
      </footer>
    </section>
  );
}

function PanelTabs({ panel, tabs, words }: Pick<ListPanelProps, "panel" | "tabs"> & { readonly words: Readonly<Record<string, string>> }) {
  const { view } = useView();
  const chosen = view.tabs[panel];
  const nameOf = (name: string): string => words[name] ?? dimensionOf(name).plural;
  return (
    <ul class="facets">
      {tabs.map((tab) => {
        if (typeof tab === "string") {
          return (
            <li key={tab}>
              <ViewLink to={{ tabs: { ...view.tabs, [panel]: tab } }} current={tab === chosen}>
                {nameOf(tab)}
              </ViewLink>
            </li>
          );
        }
        const isHere = tab.dimensions.includes(chosen);
        return (
          <li key={tab.label} class={isHere ? "here" : ""}>
            <Menu
              side="right"
              label={
                <>
                  {isHere ? nameOf(chosen) : tab.label} <Icon name="down" />
                </>
              }
            >
              {(close) => (
                <ul>
                  {tab.dimensions.map((name) => (
                    <li key={name}>
                      <ViewLink to={{ tabs: { ...view.tabs, [panel]: name } }} current={name === chosen} onFollow={close}>
                        {dimensionOf(name).plural}
                      </ViewLink>
                    </li>
                  ))}
                </ul>
              )}
            </Menu>
          </li>
        );
      })}
    </ul>
  );
}

interface TopRowsProps extends Pick<ListPanelProps, "above"> {
  readonly breakdown: Breakdown;
  readonly rows: number;
  readonly isNear: boolean;
}

export function TopRows({ breakdown, rows, isNear, above }: TopRowsProps) {
  const { has } = useSite();
  const told = useQuery(
    {
      metrics: has.goal ? ["visitors", "group_conversion_rate"] : ["visitors"],
      dimensions: breakdown.dimensions,
      pagination: { limit: above?.limit ?? rows },
    },
    { about: { breakdown, hasRate: has.goal }, when: isNear },
  );
  return (
    <Answer answer={told} rows={above ? rows + ROWS_OF_MAP : rows}>
      {({ answer, about }) => {
        const { label, plural } = dimensionOf(about.breakdown.name);
        const most = amount(answer.results[0]?.metrics[0] ?? 0) ?? 0;
        if (answer.results.length === 0) return <NoRows plural={plural} />;
        return (
          <>
          {above?.show(answer.results)}
          <div class="listed">
            <table class="rows">
              <caption class="unseen">{plural}</caption>
              <thead>
                <tr>
                  <th scope="col">{label}</th>
                  <th scope="col" class="number">
                    {about.hasRate ? "Conversions" : "Visitors"}
                  </th>
                  {about.hasRate && (
                    <th scope="col" class="number">
                      Rate
                    </th>
                  )}
                </tr>
              </thead>
              <tbody>
                {answer.results.slice(0, rows).map((row) => (
                  <RankedRow
                    key={row.dimensions.join("\n")}
                    about={about.breakdown}
                    values={row.dimensions}
                    share={most > 0 ? (amount(row.metrics[0] ?? 0) ?? 0) / most : 0}
                  >
                    <td class="number">
                      <Figure value={row.metrics[0] ?? null} unit="count" />
                    </td>
                    {about.hasRate && (
                      <td class="number">
                        <Figure value={row.metrics[1] ?? null} unit="percent" />
                      </td>
                    )}
                  </RankedRow>
                ))}
              </tbody>
            </table>
          </div>
          </>
        );
      }}
    </Answer>
  );
}

interface RankedRowProps {
  readonly about: Breakdown;
  readonly values: readonly (string | null)[];
  /** How long its bar is, 0 to 1. */
  readonly share: number;
  /** The screen on which the filter holds, where that is not this one. */
  readonly leadsTo?: Screen;
  readonly children: ComponentChildren;
}

export function RankedRow({ about, values, share, leadsTo, children }: RankedRowProps) {
  const { view } = useView();
  const screen = leadsTo ?? view.screen;
  const name = rowName(about, values);
  const only = filtersFor(view.filters, about, values, "is");
  const without = filtersFor(view.filters, about, values, "is_not");
  const isPath = dimensionOf(about.name).kind === "path";
  return (
    <tr>
      <th scope="row" class={isPath ? "path" : ""}>
        <i class="fill" style={{ width: `${Math.max(share * 100, 0.5)}%` }} />
        {only ? (
          <ViewLink to={{ filters: only, screen, ...NO_DETAIL }} title={name}>
            {name}
          </ViewLink>
        ) : (
          <span title={name}>{name}</span>
        )}
        {without && (
          <ViewLink to={{ filters: without, screen, ...NO_DETAIL }} class="not" label={`Leave out ${name}`} title={`Leave out ${name}`}>
            <Icon name="not" />
          </ViewLink>
        )}
      </th>
      {children}
    </tr>
  );
}

function NoRows({ plural }: { readonly plural: string }) {
  const { view } = useView();
  return (
    <Empty>
      <p>No {plural.toLowerCase()} in this period{view.filters.length > 0 ? " with these filters" : ""}.</p>
    </Empty>
  );
}
