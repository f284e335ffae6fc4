/** Where the time of a page load went, phase after phase, at the chosen percentile. */

import { useQuery } from "../api/use_query";
import { TIMINGS, waterfallOf } from "../performance_terms";
import { Figure } from "../parts/figure";
import { Answer, Empty } from "../parts/states";
import { useView } from "../view/navigation";
import { amount } from "../words/numbers";
import { percentileMetric, samplesMetric, speedApiFilters, timingsOf } from "./speed_query";

export function Waterfall() {
  const { view } = useView();
  const told = useQuery(
    { metrics: [...TIMINGS.map((name) => percentileMetric(view.percentile, name)), samplesMetric("load")] },
    { about: view.percentile, filters: speedApiFilters(view) },
  );
  return (
    <section class="panel" aria-label="Waterfall">
      <header>
        <h2>A page load, step by step</h2>
      </header>
      <Answer answer={told} rows={8}>
        {({ answer, about }) => {
          const row = answer.results[0];
          const samples = amount(row?.metrics[TIMINGS.length] ?? 0) ?? 0;
          const spans = waterfallOf(timingsOf(row));
          const end = Math.max(...spans.map((span) => span.to));
          if (samples === 0 || end <= 0) return <Empty>No page load was measured in this period.</Empty>;
          return (
            <>
              <table class="waterfall" aria-label={`Timings of a page load, p${about}`}>
                <tbody>
                  {spans.map(({ name, tone, from, to, isMoment }) => (
                    <tr key={name}>
                      <th scope="row">{name}</th>
                      <td class="track">
                        <i
                          class={`span ${tone}`}
                          style={
                            isMoment
                              ? { left: `calc(${(to / end) * 100}% - 2px)`, width: "4px" }
                              : { left: `${(from / end) * 100}%`, width: `${Math.max(((to - from) / end) * 100, 0.4)}%` }
                          }
                        />
                      </td>
                      <td class="number">
                        <Figure value={isMoment ? to : to - from} unit="milliseconds" />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
              <p class="soft">
                <Figure value={samples} unit="count" /> page loads. Each step is its own percentile, so they need not add up.
              </p>
            </>
          );
        }}
      </Answer>
    </section>
  );
}
