/** The headline figures against the other period; each is the link that puts it into the chart. */

import type { QueryAnswer } from "../api/query";
import { useQuery } from "../api/use_query";
import { Menu } from "../parts/menu";
import { Change, Figure } from "../parts/figure";
import { Failure } from "../parts/states";
import { Icon } from "../parts/icon";
import { CHART_METRICS, GOAL_HEADLINES, HEADLINES, type MetricName, type Unit, metricOf } from "../metrics";
import { ViewLink, useView } from "../view/navigation";
import { type Site, useSite } from "../view/site";
import { amount } from "../words/numbers";

/** What a figure is called where a goal is among the filters. */
const GOAL_LABELS: Partial<Record<MetricName, string>> = { visitors: "Conversions (people)", events: "Conversions" };

/** Units of figures that are a mean or a share of visits. */
const MEANS: ReadonlySet<Unit> = new Set(["percent", "ratio", "seconds"]);

export function labelOf(name: MetricName, hasGoal: boolean): string {
  return (hasGoal && GOAL_LABELS[name]) || metricOf(name).label;
}

/** The metric of the chart: the chosen one, unless what it needs is not among the filters any more. */
export function chartMetric(chosen: MetricName, has: Site["has"]): MetricName {
  const { needs } = metricOf(chosen);
  return needs && !has[needs] ? "visitors" : chosen;
}

/** The figures to show: the usual ones and, when it is another, the one in the chart. */
export function headlinesFor(metric: MetricName, hasGoal: boolean): readonly MetricName[] {
  const usual = hasGoal ? GOAL_HEADLINES : HEADLINES;
  return usual.includes(metric) ? usual : [...usual, metric];
}

export function Figures() {
  const { view } = useView();
  const { has, scope } = useSite();
  const hasGoal = has.goal;
  const metric = chartMetric(view.metric, has);
  const shown = headlinesFor(metric, hasGoal);
  const told = useQuery({ metrics: shown }, { about: shown, compares: true });
  const row = told.value?.answer.results[0];
  const asked = told.value?.about ?? shown;
  const visitorsAt = asked.indexOf("visitors");
  const wasNobodyThere = visitorsAt >= 0 && amount(row?.metrics[visitorsAt] ?? null) === 0;
  const isOneDay = scope.date_range !== "all" && scope.date_range[0] === scope.date_range[1];

  return (
    <section class="figures" aria-label="Headline figures">
      <ImportsWarning meta={told.value?.answer.meta} />
      {told.error && <Failure error={told.error} retry={told.retry} />}
      <ul class={told.isStale ? "stale" : ""}>
        {shown.map((name) => {
          const { unit, better, about } = metricOf(name);
          const at = asked.indexOf(name);
          // The mean of nothing is no zero.
          const value = row && wasNobodyThere && MEANS.has(unit) ? null : row?.metrics[at];
          const before = row?.comparison?.metrics[at];
          return (
            <li key={name}>
              <ViewLink to={{ metric: name }} current={metric === name} title={about} class="headline">
                <span class="label">
                  {labelOf(name, hasGoal)}
                  {name === "visitors" && !isOneDay && !hasGoal && <small> sum of daily</small>}
                </span>
                <span class="value">{value === undefined ? <i class="wait" /> : <Figure value={value} unit={unit} />}</span>
                {value !== undefined && before !== undefined && (
                  <Change value={value} before={before} unit={unit} better={better} />
                )}
              </ViewLink>
            </li>
          );
        })}
        <li class="others">
          <MoreFigures shown={shown} />
        </li>
      </ul>
    </section>
  );
}

/** Says that imported figures are there and not counted here; a site without any is told nothing. */
function ImportsWarning({ meta }: { readonly meta: QueryAnswer["meta"] | undefined }) {
  const { imports_skip_reason: reason, imports_warning: warning } = meta ?? {};
  if (!reason || reason === "no_imported_data" || !warning) return null;
  return <p class="notice-line">{warning}</p>;
}

const NEEDED: Readonly<Record<"goal" | "page", string>> = { goal: "choose a goal first", page: "choose a page first" };

function MoreFigures({ shown }: { readonly shown: readonly MetricName[] }) {
  const { has } = useSite();
  const others = CHART_METRICS.filter((name) => !shown.includes(name));
  return (
    <Menu label={<Icon name="plus" />} name="More figures" side="right">
      {(close) => (
        <ul>
          {others.map((name) => {
            const { label, needs, about } = metricOf(name);
            return (
              <li key={name}>
                {needs && !has[needs] ? (
                  <span class="off">
                    {label} <small>{NEEDED[needs]}</small>
                  </span>
                ) : (
                  <ViewLink to={{ metric: name }} title={about} onFollow={close}>
                    {label}
                  </ViewLink>
                )}
              </li>
            );
          })}
        </ul>
      )}
    </Menu>
  );
}
