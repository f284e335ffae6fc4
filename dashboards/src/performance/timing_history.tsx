/** The phases of page loads over time, upon each other, at the chosen percentile. */

import { useState } from "preact/hooks";

import { useQuery } from "../api/use_query";
import { minuteIn } from "../calendar/days";
import { Plot } from "../chart/plot";
import { presentBucket } from "../chart/series";
import { Stack } from "../chart/stack";
import { PHASES, PHASE_WORDS, TIMINGS, phasesOf } from "../performance_terms";
import { Answer } from "../parts/states";
import { TableToggle } from "../parts/table_toggle";
import { useView } from "../view/navigation";
import { useSite } from "../view/site";
import { useInterval } from "../widgets/history";
import { percentileMetric, speedApiFilters, timingsOf } from "./speed_query";

export function TimingHistory() {
  const { view } = useView();
  const { scope, shell, nowMs } = useSite();
  const { interval } = useInterval();
  const [showsTable, setShowsTable] = useState(false);
  const told = useQuery(
    {
      metrics: TIMINGS.map((name) => percentileMetric(view.percentile, name)),
      dimensions: [`time:${interval}`],
      include: { time_labels: true },
    },
    { about: { interval, isLive: scope.isLive }, filters: speedApiFilters(view) },
  );
  return (
    <section class="panel" aria-label="Timings over time">
      <header>
        <h2>Steps over time</h2>
        <TableToggle isOn={showsTable} onToggle={setShowsTable} />
      </header>
      <Answer answer={told} rows={5}>
        {({ answer, about }) => {
          const labels = answer.meta.time_labels ?? [];
          const rows = new Map(answer.results.map((row) => [row.dimensions[0] ?? "", row]));
          const phases = labels.map((label) => {
            const timings = timingsOf(rows.get(label));
            return Object.values(timings).some((each) => each !== null) ? phasesOf(timings) : null;
          });
          const layers = PHASES.map((phase, order) => ({
            name: PHASE_WORDS[phase],
            values: phases.map((each) => each?.[phase] ?? null),
            tone: `layer-${order + 1}`,
          }));
          const sums = phases.map((each) => PHASES.reduce((sum, phase) => sum + (each?.[phase] ?? 0), 0));
          return (
            <>
              <Plot
                title="Steps of a page load over time"
                labels={labels}
                interval={about.interval}
                unit="milliseconds"
                series={layers}
                most={Math.max(0, ...sums)}
                presentAt={about.isLive ? presentBucket(labels, about.interval, minuteIn(shell.timezone, nowMs)) : -1}
                showsTable={showsTable}
                isStale={told.isStale}
              >
                {(scale) => <Stack scale={scale} layers={layers} />}
              </Plot>
              <p class="legend">
                {layers.map(({ name, tone }) => (
                  <span key={name}>
                    <i class={`key ${tone}`} /> {name}
                  </span>
                ))}
              </p>
            </>
          );
        }}
      </Answer>
    </section>
  );
}
