/** How a vital is spread: which share of page loads was at least so fast, from 1 to 99 percent. */

import { useRef } from "preact/hooks";

import { useQuery } from "../api/use_query";
import { Scale, labelled, ticksTo } from "../chart/scale";
import { VITAL_TERMS } from "../performance_terms";
import { Answer, Empty } from "../parts/states";
import { useWidth } from "../parts/use_width";
import { useView } from "../view/navigation";
import type { Vital } from "../view/view";
import { numbers } from "../words/speech";
import { amount } from "../words/numbers";
import { percentileMetric, speedApiFilters } from "./speed_query";

/** Close enough for a smooth line, few enough for one question. */
const PERCENTS: readonly number[] = [1, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 99];

const HEIGHT_PX = 210;
const LEFT_PX = 44;
const RIGHT_PX = 16;
const TOP_PX = 14;
const BOTTOM_PX = 22;

export function Distribution() {
  const { view } = useView();
  const told = useQuery(
    { metrics: PERCENTS.map((percent) => percentileMetric(percent, view.vital)) },
    { about: view.vital, filters: speedApiFilters(view) },
  );
  return (
    <section class="panel" aria-label="Distribution">
      <header>
        <h2>Page loads at least this fast</h2>
      </header>
      <Answer answer={told} rows={5}>
        {({ answer, about }) => {
          const values = PERCENTS.map((_, at) => amount(answer.results[0]?.metrics[at] ?? null));
          const known = values.filter((value) => value !== null);
          if (known.length < values.length) return <Empty>No page load was measured in this period.</Empty>;
          return <Curve vital={about} values={known} />;
        }}
      </Answer>
    </section>
  );
}

function Curve({ vital, values }: { readonly vital: Vital; readonly values: readonly number[] }) {
  const { view } = useView();
  const frame = useRef<HTMLDivElement>(null);
  const widthPx = useWidth(frame);
  const { short, unit, goodUpTo, poorBeyond } = VITAL_TERMS[vital];
  const most = Math.max(values.at(-1) ?? 0, goodUpTo);
  const ticks = ticksTo(most, unit, 4);
  const right = ticks.at(-1) ?? most;
  const scale = new Scale(Math.max(widthPx - LEFT_PX - RIGHT_PX, 10), HEIGHT_PX - TOP_PX - BOTTOM_PX, 2, 100);
  const x = (value: number): number => (right > 0 ? (value / right) * scale.width : 0);
  const path = values.map((value, at) => `${at === 0 ? "M" : "L"}${x(value).toFixed(1)},${scale.y(PERCENTS[at] ?? 0).toFixed(1)}`).join("");
  const chosen = values[PERCENTS.indexOf(view.percentile)] ?? null;
  const edges = [0, goodUpTo, poorBeyond, Infinity].map((value) => Math.min(value, right));
  const room = Math.max(1, Math.floor(scale.width / 64));
  const shownTicks = labelled(ticks.length, scale.width, scale.width / Math.min(room, ticks.length));
  return (
    <div class="plot" ref={frame}>
      {widthPx > 0 && (
        <svg width={widthPx} height={HEIGHT_PX} aria-hidden="true" focusable="false">
          <g transform={`translate(${LEFT_PX} ${TOP_PX})`}>
            <g class="bands">
              {[0, 1, 2].map((order) => {
                const [from = 0, to = 0] = [edges[order], edges[order + 1]];
                return to > from && <rect key={order} class={`rated-${order}`} x={x(from)} width={x(to) - x(from)} height={scale.height} />;
              })}
            </g>
            {[0, 25, 50, 75, 100].map((percent) => (
              <g key={percent} class="tick" transform={`translate(0 ${scale.y(percent)})`}>
                <line x2={scale.width} class={percent === 0 ? "base" : ""} />
                <text x={-8} dy="0.32em" text-anchor="end">
                  {percent}%
                </text>
              </g>
            ))}
            {shownTicks.map((at) => (
              <text key={at} class="tick" x={x(ticks[at] ?? 0)} y={scale.height + 17} text-anchor={at === ticks.length - 1 ? "end" : at === 0 ? "start" : "middle"}>
                {numbers.short(ticks[at] ?? 0, unit)}
              </text>
            ))}
            <g class="lines">
              <path class="main" d={path} />
              {chosen !== null && (
                <g class="cursor">
                  <line x1={x(chosen)} x2={x(chosen)} y1={scale.y(view.percentile)} y2={scale.height} />
                  <circle class="tone-main" cx={x(chosen)} cy={scale.y(view.percentile)} r={5} />
                </g>
              )}
            </g>
          </g>
        </svg>
      )}
      {/* A table takes the height of its rows whatever is said: it would make the page longer by all of them. */}
      <div class="unseen">
        <table>
          <caption>{short} by percentile</caption>
          <tbody>
            {PERCENTS.map((percent, at) => (
              <tr key={percent}>
                <th scope="row">{percent}% of page loads</th>
                <td>{numbers.exact(values[at] ?? null, unit)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}
