/** Vitals or timings of each page, device, browser, system or country. */

import { useQuery } from "../api/use_query";
import type { Row } from "../api/query";
import { dimensionOf } from "../dimensions";
import { TIMINGS, TIMING_WORDS, VITAL_TERMS, ratingOf } from "../performance_terms";
import { Figure } from "../parts/figure";
import { Answer, Empty } from "../parts/states";
import { useNear } from "../parts/use_near";
import { BREAKDOWNS, VITALS } from "../view/view";
import { ViewLink, useView } from "../view/navigation";
import { amount } from "../words/numbers";
import { breakdownOf } from "../widgets/breakdown";
import { RankedRow } from "../widgets/list_panel";
import { RatingMark } from "./rating_mark";
import { percentileMetric, samplesMetric, speedApiFilters } from "./speed_query";

const ROWS = 20;

export function SpeedTable() {
  const { view } = useView();
  const [element, isNear] = useNear<HTMLElement>();
  const breakdown = breakdownOf(view.breakdown, view.filters);
  const figures: readonly string[] = view.speed === "vitals" ? VITALS : TIMINGS;
  const counted = samplesMetric(view.speed === "vitals" ? "ttfb" : "load");
  const told = useQuery(
    {
      metrics: [counted, ...figures.map((name) => percentileMetric(view.percentile, name))],
      dimensions: breakdown.dimensions,
      order_by: [[counted, "desc"]],
      pagination: { limit: ROWS },
    },
    { about: { breakdown, speed: view.speed, percentile: view.percentile }, when: isNear, filters: speedApiFilters(view) },
  );
  return (
    <section class="panel speed" ref={element} aria-label="By page, device, browser or country">
      <header>
        <h2>{view.speed === "vitals" ? "Vitals" : "Timings"} by</h2>
        <ul class="facets">
          {BREAKDOWNS.map((name) => (
            <li key={name}>
              <ViewLink to={{ breakdown: name }} current={view.breakdown === name}>
                {dimensionOf(name).label}
              </ViewLink>
            </li>
          ))}
        </ul>
      </header>
      <Answer answer={told} rows={10}>
        {({ answer, about }) => {
          const most = amount(answer.results[0]?.metrics[0] ?? 0) ?? 0;
          const rows = answer.results.filter((row) => (amount(row.metrics[0] ?? 0) ?? 0) > 0);
          if (rows.length === 0) return <Empty>No page load was measured in this period.</Empty>;
          return (
            <div class="table-room" tabIndex={0} role="region" aria-label={`${about.speed}, p${about.percentile}`}>
              <table class="rows wide" style={{ "--columns": (about.speed === "vitals" ? VITALS : TIMINGS).length + 1 }}>
                <thead>
                  <tr>
                    <th scope="col">{dimensionOf(about.breakdown.name).label}</th>
                    <th scope="col" class="number">
                      Page loads
                    </th>
                    {(about.speed === "vitals" ? VITALS.map((vital) => VITAL_TERMS[vital].short) : TIMINGS.map((name) => TIMING_WORDS[name])).map((head) => (
                      <th key={head} scope="col" class="number">
                        {head}
                      </th>
                    ))}
                  </tr>
                </thead>
                <tbody>
                  {rows.map((row) => (
                    <RankedRow key={row.dimensions.join("\n")} about={about.breakdown} values={row.dimensions} share={most > 0 ? (amount(row.metrics[0] ?? 0) ?? 0) / most : 0}>
                      <td class="number">
                        <Figure value={row.metrics[0] ?? null} unit="count" />
                      </td>
                      {about.speed === "vitals" ? <VitalCells row={row} /> : <TimingCells row={row} />}
                    </RankedRow>
                  ))}
                </tbody>
              </table>
            </div>
          );
        }}
      </Answer>
    </section>
  );
}

function VitalCells({ row }: { readonly row: Row }) {
  return (
    <>
      {VITALS.map((vital, at) => {
        const value = amount(row.metrics[at + 1] ?? null);
        return (
          <td key={vital} class="number">
            {value === null ? (
              "–"
            ) : (
              <>
                <RatingMark rating={ratingOf(vital, value)} isShort /> <Figure value={value} unit={VITAL_TERMS[vital].unit} />
              </>
            )}
          </td>
        );
      })}
    </>
  );
}

function TimingCells({ row }: { readonly row: Row }) {
  return (
    <>
      {TIMINGS.map((name, at) => (
        <td key={name} class="number">
          <Figure value={row.metrics[at + 1] ?? null} unit="milliseconds" />
        </td>
      ))}
    </>
  );
}
