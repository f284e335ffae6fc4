/** One vital over time at the chosen percentile, on the bands of its ratings. */

import { useState } from "preact/hooks";

import type { QueryAnswer } from "../api/query";
import { useQuery } from "../api/use_query";
import { minuteIn } from "../calendar/days";
import { Lines } from "../chart/lines";
import { Plot } from "../chart/plot";
import { greatest, timeSeries } from "../chart/series";
import type { Scale } from "../chart/scale";
import { VITAL_TERMS } from "../performance_terms";
import { Answer, Empty } from "../parts/states";
import { TableToggle } from "../parts/table_toggle";
import { useView } from "../view/navigation";
import { useSite } from "../view/site";
import type { Vital } from "../view/view";
import { useInterval } from "../widgets/history";
import { amount } from "../words/numbers";
import { percentileMetric, speedApiFilters } from "./speed_query";

export function VitalHistory() {
  const { view } = useView();
  const { scope, shell, nowMs } = useSite();
  const { interval } = useInterval();
  const [showsTable, setShowsTable] = useState(false);
  const told = useQuery(
    { metrics: [percentileMetric(view.percentile, view.vital)], dimensions: [`time:${interval}`], include: { time_labels: true } },
    { about: { vital: view.vital, percentile: view.percentile, interval, isLive: scope.isLive }, compares: true, filters: speedApiFilters(view) },
  );
  return (
    <section class="panel" aria-label={`${VITAL_TERMS[view.vital].short} over time`}>
      <header>
        <h2>{VITAL_TERMS[view.vital].short} over time</h2>
        <TableToggle isOn={showsTable} onToggle={setShowsTable} />
      </header>
      <Answer answer={told} rows={5}>
        {({ answer, about }) => {
          const { short, unit, goodUpTo } = VITAL_TERMS[about.vital];
          if (isBlank(answer)) return <Empty>No page load was measured in this period.</Empty>;
          const series = timeSeries(answer, 0, about.interval, minuteIn(shell.timezone, nowMs), about.isLive, null);
          return (
            <Plot
              title={`${short} over time, p${about.percentile}`}
              labels={series.labels}
              interval={about.interval}
              unit={unit}
              series={[
                { name: `${short}, p${about.percentile}`, values: series.values, tone: "tone-main" },
                ...(series.before ? [{ name: "Before", values: series.before, tone: "tone-before" }] : []),
              ]}
              most={Math.max(goodUpTo * 1.1, greatest(series.values, series.before))}
              presentAt={series.presentAt}
              showsTable={showsTable}
              isStale={told.isStale}
            >
              {(scale) => (
                <>
                  <Bands scale={scale} vital={about.vital} />
                  <Lines scale={scale} values={series.values} before={series.before} presentAt={series.presentAt} hasArea={false} />
                </>
              )}
            </Plot>
          );
        }}
      </Answer>
    </section>
  );
}

/** Whether nothing was measured, now or in the other period: bands without a line look like a mistake. */
function isBlank({ results }: QueryAnswer): boolean {
  return results.every(({ metrics, comparison }) => amount(metrics[0] ?? null) === null && amount(comparison?.metrics[0] ?? null) === null);
}

function Bands({ scale, vital }: { readonly scale: Scale; readonly vital: Vital }) {
  const { goodUpTo, poorBeyond } = VITAL_TERMS[vital];
  const edges = [0, goodUpTo, poorBeyond, Infinity].map((value) => Math.min(value, scale.top));
  return (
    <g class="bands">
      {["good", "needs improvement", "poor"].map((rating, order) => {
        const [low = 0, high = 0] = [edges[order], edges[order + 1]];
        if (high <= low) return null;
        return (
          <g key={rating}>
            <rect class={`rated-${order}`} width={scale.width} y={scale.y(high)} height={scale.y(low) - scale.y(high)} />
            <text x={scale.width - 4} y={scale.y(high) + 12} text-anchor="end">
              {rating}
            </text>
          </g>
        );
      })}
    </g>
  );
}
