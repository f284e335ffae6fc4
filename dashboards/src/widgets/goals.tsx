/** What visitors did that the site is there for: goals, who reached them, how often, and what it brought. */

import { useState } from "preact/hooks";

import { useSetup } from "../api/setup";
import { useQuery } from "../api/use_query";
import { Figure } from "../parts/figure";
import { Icon } from "../parts/icon";
import { Answer, Empty } from "../parts/states";
import { useNear } from "../parts/use_near";
import { mayManage } from "../shell";
import { NO_DETAIL } from "../view/view";
import { ViewLink } from "../view/navigation";
import { useSite } from "../view/site";
import { amount } from "../words/numbers";
import { breakdownOf } from "./breakdown";
import { GoalsDialog } from "./goals_dialog";
import { RankedRow } from "./list_panel";

const ROWS = 8;
const BREAKDOWN = breakdownOf("goal", []);

export function Goals() {
  const [element, isNear] = useNear<HTMLElement>();
  const { shell } = useSite();
  const [isManaging, setManaging] = useState(false);
  const goals = useSetup(shell.domain, "goals", isNear);
  const hasMoney = goals.value?.some((goal) => goal.currency !== "") ?? false;
  const told = useQuery(
    {
      metrics: ["visitors", "events", "conversion_rate", ...(hasMoney ? ["total_revenue"] : [])],
      dimensions: BREAKDOWN.dimensions,
      pagination: { limit: ROWS },
    },
    { about: { hasMoney }, when: (goals.value?.length ?? 0) > 0 },
  );
  return (
    <section class="panel goals" ref={element} aria-label="Goals">
      <header>
        <h2>Goals</h2>
        {mayManage(shell) && (
          <button type="button" class="bare" onClick={() => setManaging(true)}>
            <Icon name="edit" /> Manage goals
          </button>
        )}
      </header>
      {goals.value?.length === 0 ? (
        <NoGoals onAdd={mayManage(shell) ? () => setManaging(true) : null} />
      ) : (
        <Answer answer={goals.error ? { ...told, error: goals.error, retry: goals.retry } : told} rows={ROWS}>
          {({ answer, about }) => {
            if (answer.results.length === 0) return <Empty>No goal was reached in this period.</Empty>;
            const most = amount(answer.results[0]?.metrics[0] ?? 0) ?? 0;
            return (
              <table class="rows">
                <caption class="unseen">Goals</caption>
                <thead>
                  <tr>
                    <th scope="col">Goal</th>
                    <th scope="col" class="number">
                      Visitors
                    </th>
                    <th scope="col" class="number wide-only">
                      Conversions
                    </th>
                    <th scope="col" class="number">
                      Rate
                    </th>
                    {about.hasMoney && (
                      <th scope="col" class="number">
                        Revenue
                      </th>
                    )}
                  </tr>
                </thead>
                <tbody>
                  {answer.results.map((row) => (
                    <RankedRow
                      key={row.dimensions[0]}
                      about={BREAKDOWN}
                      values={row.dimensions}
                      share={most > 0 ? (amount(row.metrics[0] ?? 0) ?? 0) / most : 0}
                    >
                      <td class="number">
                        <Figure value={row.metrics[0] ?? null} unit="count" />
                      </td>
                      <td class="number wide-only">
                        <Figure value={row.metrics[1] ?? null} unit="count" />
                      </td>
                      <td class="number">
                        <Figure value={row.metrics[2] ?? null} unit="percent" />
                      </td>
                      {about.hasMoney && (
                        <td class="number">
                          <Figure value={row.metrics[3] ?? null} unit="money" />
                        </td>
                      )}
                    </RankedRow>
                  ))}
                </tbody>
              </table>
            );
          }}
        </Answer>
      )}
      <footer>
        {(goals.value?.length ?? 0) > 0 && (
          <ViewLink to={{ ...NO_DETAIL, detail: "goal" }} class="all">
            All goals
          </ViewLink>
        )}
      </footer>
      {isManaging && <GoalsDialog goals={goals.value ?? []} onClose={() => setManaging(false)} />}
    </section>
  );
}

function NoGoals({ onAdd }: { readonly onAdd: (() => void) | null }) {
  return (
    <Empty>
      <p>A goal counts who did what the site is there for: a purchase, a sign‑up, a page that was reached.</p>
      {onAdd ? (
        <button type="button" onClick={onAdd}>
          Add the first goal
        </button>
      ) : (
        <p class="soft">An admin of this site can add some.</p>
      )}
    </Empty>
  );
}
