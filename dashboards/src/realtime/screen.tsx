/** The last half hour, minute by minute, and where those people are. */

import { type Named, type Realtime, useRealtime } from "../api/stats";
import { dimensionOf } from "../dimensions";
import { Figure } from "../parts/figure";
import { Answer, Empty } from "../parts/states";
import { RankedRow } from "../widgets/list_panel";
import { breakdownOf } from "../widgets/breakdown";
import { numbers } from "../words/speech";

const EVERY_MS = 5000;

export function RealtimeScreen() {
  const told = useRealtime(EVERY_MS);
  return (
    <Answer answer={told}>
      {(now) => (
        <div class="screen">
          <section class="panel" aria-label="Now">
            <div class="now">
              <p>
                <span class="big">
                  <Figure value={now.visitors} unit="count" />
                </span>
                <br />
                {now.visitors === 1 ? "visitor" : "visitors"} in the last 5 minutes
                <br />
                <span class="soft">{numbers.exact(now.visitors_30m, "count")} in the last 30</span>
              </p>
              <Minutes minutes={now.minutes} />
            </div>
          </section>
          <div class="three">
            <List title="Pages" dimension="page" rows={now.pages} />
            <List title="Sources" dimension="source" rows={now.sources} />
            <List title="Countries" dimension="country" rows={now.countries} />
          </div>
          <p class="soft">Asked again every 5 seconds. Filters and days do not apply here.</p>
        </div>
      )}
    </Answer>
  );
}

function Minutes({ minutes }: { readonly minutes: Realtime["minutes"] }) {
  const most = Math.max(1, ...minutes.map((each) => each.pageviews));
  const clock = (minute: string): string => minute.slice(11, 16);
  return (
    <div>
      <div class="minutes" aria-hidden="true">
        {minutes.map(({ minute, pageviews }) => (
          <i
            key={minute}
            class={pageviews === 0 ? "none" : ""}
            title={`${clock(minute)}: ${numbers.exact(pageviews, "count")} views`}
            style={{ height: `${(pageviews / most) * 100}%` }}
          />
        ))}
      </div>
      <p class="minute-ends" aria-hidden="true">
        <span>{clock(minutes[0]?.minute ?? "")}</span>
        <span>views per minute</span>
        <span>now</span>
      </p>
      {/* A table takes the height of its rows whatever is said: it would make the page longer by all of them. */}
      <div class="unseen">
        <table>
          <caption>Views per minute</caption>
          <tbody>
            {minutes.map(({ minute, pageviews, visitors }) => (
              <tr key={minute}>
                <th scope="row">{clock(minute)}</th>
                <td>
                  {pageviews} views, {visitors} visitors
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

interface ListProps {
  readonly title: string;
  readonly dimension: "page" | "source" | "country";
  readonly rows: readonly Named[];
}

function List({ title, dimension, rows }: ListProps) {
  const about = breakdownOf(dimension, []);
  const most = rows[0]?.visitors ?? 0;
  return (
    <section class="panel" aria-label={title}>
      <header>
        <h2>{title}</h2>
      </header>
      {rows.length === 0 ? (
        <Empty>Nobody at the moment.</Empty>
      ) : (
        <table class="rows">
          <caption class="unseen">{title} of the last 30 minutes</caption>
          <thead>
            <tr>
              <th scope="col">{dimensionOf(dimension).label}</th>
              <th scope="col" class="number">
                Visitors
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map(({ name, visitors }) => (
              <RankedRow key={name} about={about} values={[name]} share={most > 0 ? visitors / most : 0} leadsTo="overview">
                <td class="number">
                  <Figure value={visitors} unit="count" />
                </td>
              </RankedRow>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
