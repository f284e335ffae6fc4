/** The whole list of a dimension over the page: more figures, search, order, pages, and the way to take it along. */

import { useEffect, useState } from "preact/hooks";

import { exportAddress } from "../api/exports";
import { type Direction, type Row } from "../api/query";
import { useQuery } from "../api/use_query";
import { dimensionOf, propertyKey } from "../dimensions";
import { type MetricName, metricOf } from "../metrics";
import { Change, Figure } from "../parts/figure";
import { Icon } from "../parts/icon";
import { Modal } from "../parts/modal";
import { Answer, Empty } from "../parts/states";
import { NO_DETAIL } from "../view/view";
import { ViewLink, useView } from "../view/navigation";
import { type Site, useSite } from "../view/site";
import { numbers } from "../words/speech";
import { amount } from "../words/numbers";
import { type Breakdown, breakdownOf, rowName } from "./breakdown";
import { labelOf } from "./figures";
import { RankedRow } from "./list_panel";

const ROWS_PER_PAGE = 50;
/** More than there are countries or languages: their names are known here only, so they are searched here. */
const ALL_NAMED = 1000;
const WAIT_MS = 300;

/** The figures of a list, as far as they make sense for its dimension under these filters. */
export function columnsOf(dimension: string, has: Site["has"]): readonly MetricName[] {
  if (dimension === "goal") return ["visitors", "events", "conversion_rate"];
  if (has.goal) return ["visitors", "events", "group_conversion_rate"];
  if (propertyKey(dimension) !== null) return ["visitors", "events", "percentage"];
  switch (dimension) {
    case "page":
      return ["visitors", "pageviews", "bounce_rate", "time_on_page", "scroll_depth"];
    case "exit_page":
      return has.page ? ["visitors", "visits"] : ["visitors", "visits", "exit_rate"];
    case "hostname":
      return ["visitors", "visits", "pageviews"];
    default:
      return ["visitors", "percentage", "visits", "bounce_rate", "visit_duration"];
  }
}

export function Detail({ dimension }: { readonly dimension: string }) {
  const { view, go } = useView();
  const { has } = useSite();
  const breakdown = breakdownOf(dimension, view.filters);
  const { label, plural, kind, api } = dimensionOf(breakdown.name);
  const isLocal = kind === "country" || kind === "language";
  const columns = columnsOf(dimension, has);
  const [by, direction] = orderOf(view.sort, columns);
  const search = isLocal ? "" : view.search;
  const question = {
    metrics: columns,
    dimensions: breakdown.dimensions,
    order_by: [[by, direction]] as const,
    include: { total_rows: true },
    pagination: isLocal ? { limit: ALL_NAMED } : { limit: ROWS_PER_PAGE, offset: (view.page - 1) * ROWS_PER_PAGE },
  };
  const { scope } = useSite();
  const filters = search ? [...scope.filters, ["contains", api, [search], { case_sensitive: false }]] : scope.filters;
  const told = useQuery(question, { about: { breakdown, columns, page: view.page }, compares: true, filters });
  return (
    <Modal title={plural} onClose={() => go(NO_DETAIL)} class="detail">
      <div class="tools">
        {dimension !== "goal" && <Search key={dimension} plural={plural} />}
        <span class="grows" />
        <a class="button" href={exportAddress(scope, question, filters)} download>
          <Icon name="download" /> CSV
        </a>
      </div>
      <Answer answer={told} rows={12}>
        {({ answer, about }) => {
          const rows = answer.results.filter((row) => !isLocal || rowMatches(about.breakdown, row, view.search));
          const total = isLocal ? rows.length : (answer.meta.total_rows ?? rows.length);
          const most = Math.max(0, ...rows.map((row) => amount(row.metrics[0] ?? 0) ?? 0));
          if (rows.length === 0) return <Empty>{view.search ? `No ${plural.toLowerCase()} with “${view.search}”.` : `No ${plural.toLowerCase()} in this period.`}</Empty>;
          return (
            <>
              <div class="table-room" tabIndex={0} role="region" aria-label={`All ${plural.toLowerCase()}`}>
                <table class="rows wide" style={{ "--columns": about.columns.length }}>
                  <thead>
                    <tr>
                      <th scope="col">{label}</th>
                      {about.columns.map((name) => (
                        <SortHead key={name} name={name} by={by} direction={direction} />
                      ))}
                    </tr>
                  </thead>
                  <tbody>
                    {rows.map((row) => (
                      <RankedRow key={row.dimensions.join("\n")} about={about.breakdown} values={row.dimensions} share={most > 0 ? (amount(row.metrics[0] ?? 0) ?? 0) / most : 0}>
                        {about.columns.map((name, at) => (
                          <Cell key={name} name={name} row={row} at={at} />
                        ))}
                      </RankedRow>
                    ))}
                  </tbody>
                </table>
              </div>
              {!isLocal && <Pages page={about.page} total={total} />}
            </>
          );
        }}
      </Answer>
    </Modal>
  );
}

function rowMatches(of: Breakdown, row: Row, search: string): boolean {
  return rowName(of, row.dimensions).toLowerCase().includes(search.toLowerCase());
}

function orderOf(sort: string | null, columns: readonly MetricName[]): readonly [MetricName, Direction] {
  const name = sort?.replace(/^-/, "");
  const found = columns.find((each) => each === name);
  return found ? [found, sort?.startsWith("-") ? "desc" : "asc"] : [columns[0] ?? "visitors", "desc"];
}

function Cell({ name, row, at }: { readonly name: MetricName; readonly row: Row; readonly at: number }) {
  const { unit, better } = metricOf(name);
  const value = row.metrics[at] ?? null;
  const before = row.comparison?.metrics[at];
  return (
    <td class="number">
      <Figure value={value} unit={unit} />
      {at === 0 && before !== undefined && (
        <>
          {" "}
          <Change value={value} before={before} unit={unit} better={better} />
        </>
      )}
    </td>
  );
}

interface SortHeadProps {
  readonly name: MetricName;
  readonly by: MetricName;
  readonly direction: Direction;
}

function SortHead({ name, by, direction }: SortHeadProps) {
  const { has } = useSite();
  const isHere = name === by;
  const next = isHere && direction === "desc" ? name : `-${name}`;
  return (
    <th scope="col" class="number" aria-sort={isHere ? (direction === "desc" ? "descending" : "ascending") : undefined}>
      <ViewLink to={{ sort: next, page: 1 }} title={metricOf(name).about}>
        {labelOf(name, has.goal)}
        <span aria-hidden="true">{isHere ? (direction === "desc" ? " ↓" : " ↑") : ""}</span>
      </ViewLink>
    </th>
  );
}

function Search({ plural }: { readonly plural: string }) {
  const { view, go } = useView();
  const [typed, setTyped] = useState(view.search);
  useEffect(() => {
    if (typed === view.search) return undefined;
    const timer = setTimeout(() => go({ search: typed, page: 1 }, { replaces: true }), WAIT_MS);
    return () => clearTimeout(timer);
  }, [typed, view.search]);
  return (
    <input
      type="search"
      class="search"
      placeholder="Search"
      aria-label={`Search ${plural.toLowerCase()}`}
      value={typed}
      onInput={(event) => setTyped(event.currentTarget.value)}
    />
  );
}

function Pages({ page, total }: { readonly page: number; readonly total: number }) {
  const first = (page - 1) * ROWS_PER_PAGE;
  const last = Math.min(first + ROWS_PER_PAGE, total);
  return (
    <nav class="pages" aria-label="Pages of the list">
      <span aria-live="polite">
        {numbers.exact(first + 1, "count")}–{numbers.exact(last, "count")} of {numbers.exact(total, "count")}
      </span>
      {page > 1 && (
        <ViewLink to={{ page: page - 1 }} class="button">
          Before
        </ViewLink>
      )}
      {last < total && (
        <ViewLink to={{ page: page + 1 }} class="button">
          Next
        </ViewLink>
      )}
    </nav>
  );
}

