/** Each vital at the chosen percentile: its rating, how page loads divide among the ratings, how many were measured. */

import { useQuery } from "../api/use_query";
import type { Row } from "../api/query";
import { RATINGS, VITAL_TERMS, ratingOf } from "../performance_terms";
import { Change, Figure } from "../parts/figure";
import { Answer } from "../parts/states";
import { VITALS, type Vital } from "../view/view";
import { ViewLink, useView } from "../view/navigation";
import { numbers } from "../words/speech";
import { amount } from "../words/numbers";
import { RatingMark } from "./rating_mark";
import { percentileMetric, samplesMetric, speedApiFilters } from "./speed_query";
import { sharesOf } from "./shares";

export function VitalCards() {
  const { view } = useView();
  const told = useQuery(
    {
      metrics: VITALS.flatMap((vital) => [percentileMetric(view.percentile, vital), samplesMetric(vital), `rating_${vital}`]),
    },
    { about: view.percentile, compares: true, filters: speedApiFilters(view) },
  );
  return (
    <section class="vitals" aria-label="Web vitals">
      <Answer answer={told} rows={2}>
        {({ answer }) => (
          <ul>
            {VITALS.map((vital, at) => (
              <li key={vital}>
                <VitalCard vital={vital} row={answer.results[0]} at={at * 3} />
              </li>
            ))}
          </ul>
        )}
      </Answer>
    </section>
  );
}

function VitalCard({ vital, row, at }: { readonly vital: Vital; readonly row: Row | undefined; readonly at: number }) {
  const { view } = useView();
  const { short, long, about, unit } = VITAL_TERMS[vital];
  const value = amount(row?.metrics[at] ?? null);
  const before = row?.comparison?.metrics[at];
  const samples = amount(row?.metrics[at + 1] ?? 0) ?? 0;
  const shares = sharesOf(row?.metrics[at + 2]);
  return (
    <ViewLink to={{ vital }} current={view.vital === vital} class="vital" title={about}>
      <span class="label">
        <b>{short}</b> <small>{long}</small>
      </span>
      {value === null || samples === 0 ? (
        <span class="value soft">No sample</span>
      ) : (
        <>
          <span class="value">
            <Figure value={value} unit={unit} />
          </span>
          <RatingMark rating={ratingOf(vital, value)} />
          {before !== undefined && <Change value={value} before={before} unit={unit} better="down" />}
          {shares && (
            <span class="shares">
              {RATINGS.map((rating, order) => (
                <i key={rating} class={`rated-${order}`} style={{ flexGrow: shares[order] ?? 0 }} />
              ))}
              <span class="unseen">{RATINGS.map((rating, order) => `${numbers.exact(shares[order] ?? 0, "percent")} ${rating}`).join(", ")}</span>
            </span>
          )}
        </>
      )}
      <small class="samples">
        <Figure value={samples} unit="count" /> samples
      </small>
    </ViewLink>
  );
}
