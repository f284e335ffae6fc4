/** What custom properties say: which there are, and the values of one, with who sent them and how often. */

import { useSuggestions } from "../api/stats";
import { useQuery } from "../api/use_query";
import { apiDimension, propertyDimension } from "../dimensions";
import { metricOf } from "../metrics";
import { Figure } from "../parts/figure";
import { Answer, Empty } from "../parts/states";
import { NO_DETAIL } from "../view/view";
import { ViewLink, useView } from "../view/navigation";
import { useSite } from "../view/site";
import { amount } from "../words/numbers";
import { breakdownOf } from "../widgets/breakdown";
import { columnsOf } from "../widgets/detail";
import { labelOf } from "../widgets/figures";
import { RankedRow } from "../widgets/list_panel";

/** More names than anybody reads through. */
const MOST_NAMES = 100;
const ROWS = 20;
/** What the API calls the value of an event without the property. */
const NOT_THERE = "(none)";

export function Properties() {
  const { view } = useView();
  const names = useSuggestions("event:props", "", MOST_NAMES);
  return (
    <section class="panel" aria-label="Properties">
      <Answer answer={names} rows={3}>
        {({ suggestions }) => {
          const known = suggestions.map((each) => each.value);
          const shown = view.property ?? known[0];
          if (shown === undefined) return <NoProperties />;
          // One that a link names may have no value in these days; it stays to be chosen.
          const all = known.includes(shown) ? known : [shown, ...known];
          return (
            <>
              <ul class="picker" aria-label="Properties">
                {all.map((name) => (
                  <li key={name}>
                    <ViewLink to={{ property: name }} current={name === shown}>
                      {name}
                    </ViewLink>
                  </li>
                ))}
              </ul>
              <Values key={shown} property={shown} />
            </>
          );
        }}
      </Answer>
    </section>
  );
}

function Values({ property }: { readonly property: string }) {
  const { has, scope } = useSite();
  const dimension = propertyDimension(property);
  const columns = columnsOf(dimension, has);
  const about = breakdownOf(dimension, []);
  const told = useQuery(
    { metrics: columns, dimensions: about.dimensions, pagination: { limit: ROWS }, include: { total_rows: true } },
    // Events without it are nearly all there are, and would hide what is asked for.
    { about: { about, columns }, filters: [...scope.filters, ["is_not", apiDimension(dimension), [NOT_THERE]]] },
  );
  return (
    <Answer answer={told} rows={8}>
      {({ answer, about: { about: breakdown, columns: shown } }) => {
        const most = amount(answer.results[0]?.metrics[0] ?? 0) ?? 0;
        if (answer.results.length === 0) return <Empty>No event carried “{property}” in this period.</Empty>;
        return (
          <>
            <div class="table-room" tabIndex={0} role="region" aria-label={`Values of ${property}`}>
              <table class="rows wide" style={{ "--columns": shown.length }}>
                <thead>
                  <tr>
                    <th scope="col">{property}</th>
                    {shown.map((name) => (
                      <th key={name} scope="col" class="number">
                        {labelOf(name, has.goal)}
                      </th>
                    ))}
                  </tr>
                </thead>
                <tbody>
                  {answer.results.map((row) => (
                    <RankedRow
                      key={row.dimensions[0]}
                      about={breakdown}
                      values={row.dimensions}
                      share={most > 0 ? (amount(row.metrics[0] ?? 0) ?? 0) / most : 0}
                    >
                      {shown.map((name, at) => (
                        <td key={name} class="number">
                          <Figure value={row.metrics[at] ?? null} unit={metricOf(name).unit} />
                        </td>
                      ))}
                    </RankedRow>
                  ))}
                </tbody>
              </table>
            </div>
            {(answer.meta.total_rows ?? 0) > answer.results.length && (
              <footer>
                <ViewLink to={{ ...NO_DETAIL, detail: dimension }} class="all">
                  All values
                </ViewLink>
              </footer>
            )}
          </>
        );
      }}
    </Answer>
  );
}

function NoProperties() {
  return (
    <Empty>
      <p>No event carried a property in this period.</p>
      <p>
        Send some along with an event:
        <br />
        <code>footfall("Signup", {"{"} props: {"{"} plan: "yearly" {"}"} {"}"})</code>
      </p>
    </Empty>
  );
}
