/** The chart of the first look: one metric over time, with the other period, notes, and a way into each bucket. */

import { useState } from "preact/hooks";

import { useSetup } from "../api/setup";
import { useQuery } from "../api/use_query";
import { addDays, minuteIn, monthStart, weekStart } from "../calendar/days";
import { type Interval, type Period, intervalsOf, rangeOf } from "../calendar/periods";
import { Lines } from "../chart/lines";
import { type Note, Plot } from "../chart/plot";
import { greatest, timeSeries } from "../chart/series";
import { metricOf } from "../metrics";
import { Icon } from "../parts/icon";
import { Answer } from "../parts/states";
import { mayManage } from "../shell";
import { useView } from "../view/navigation";
import { useSite } from "../view/site";
import { times } from "../words/speech";
import { chartMetric, labelOf } from "./figures";
import { NoteDialog } from "./note_dialog";

const INTERVAL_WORDS: Readonly<Record<Interval, string>> = {
  minute: "minutes",
  hour: "hours",
  day: "days",
  week: "weeks",
  month: "months",
};

/** The step of the chart: the chosen one where the range has it, else the usual one. */
export function useInterval(): { readonly interval: Interval; readonly choices: readonly Interval[] } {
  const { view } = useView();
  const { shell, today } = useSite();
  const choices = intervalsOf(rangeOf(view.period, today), shell.first_day, today);
  const interval = choices.find((each) => each === view.interval) ?? choices[0] ?? "day";
  return { interval, choices };
}

/** The period of a bucket, to look into; null where it is the smallest. */
export function periodOf(label: string, interval: Interval): Period | null {
  const day = label.slice(0, 10);
  if (interval === "day") return { name: "day", date: day };
  if (interval === "month") return { name: "month", date: day };
  if (interval === "week") return { name: "custom", from: day, to: addDays(weekStart(day), 6) };
  return null;
}

export function History() {
  const { view, go } = useView();
  const { shell, scope, nowMs, has, today } = useSite();
  const { interval, choices } = useInterval();
  const [showsTable, setShowsTable] = useState(false);
  const [noteDay, setNoteDay] = useState<string | null>(null);
  const name = chartMetric(view.metric, has);
  const told = useQuery(
    { metrics: [name], dimensions: [`time:${interval}`], include: { time_labels: true } },
    { about: { name, interval, isLive: scope.isLive }, compares: true },
  );
  const noted = useSetup(shell.domain, "annotations");
  const title = `${labelOf(name, has.goal)} over time`;

  return (
    <section class="history" aria-label={title}>
      <Answer answer={told} rows={5}>
        {({ answer, about }) => {
          const metric = metricOf(about.name);
          const missing = metric.unit === "count" || metric.unit === "money" ? 0 : null;
          const series = timeSeries(answer, 0, about.interval, minuteIn(shell.timezone, nowMs), about.isLive, missing);
          const notes = notesAt(noted.value ?? [], series.labels, about.interval);
          const pick = (at: number): void => {
            const period = periodOf(series.labels[at] ?? "", about.interval);
            if (period) go({ period, interval: null });
          };
          return (
            <Plot
              title={title}
              labels={series.labels}
              interval={about.interval}
              unit={metric.unit}
              series={[
                { name: labelOf(about.name, has.goal), values: series.values, tone: "tone-main" },
                ...(series.before ? [{ name: "Before", values: series.before, tone: "tone-before", ...(series.beforeLabels ? { labels: series.beforeLabels } : {}) }] : []),
              ]}
              most={greatest(series.values, series.before)}
              presentAt={series.presentAt}
              notes={notes}
              showsTable={showsTable}
              isStale={told.isStale}
              {...(about.interval === "hour" ? {} : { picks: { verb: `look into this ${about.interval}`, pick } })}
            >
              {(scale) => <Lines scale={scale} values={series.values} before={series.before} presentAt={series.presentAt} />}
            </Plot>
          );
        }}
      </Answer>
      <footer class="chart-foot">
        <Legend told={told.value?.answer.query} compares={scope.comparisons !== null} />
        <span class="grows" />
        {mayManage(shell) && (
          <button type="button" class="bare" onClick={() => setNoteDay(today)}>
            <Icon name="note" /> <span class="wide-only">Add a note</span>
          </button>
        )}
        <button type="button" class="bare" aria-pressed={showsTable} onClick={() => setShowsTable(!showsTable)}>
          <Icon name={showsTable ? "chart" : "table"} /> <span class="wide-only">{showsTable ? "As a chart" : "As a table"}</span>
        </button>
        {choices.length > 1 && (
          <label class="pick">
            <span class="unseen">Step of the chart</span>
            <select value={interval} onChange={(event) => go({ interval: event.currentTarget.value as Interval })}>
              {choices.map((each) => (
                <option key={each} value={each}>
                  by {INTERVAL_WORDS[each]}
                </option>
              ))}
            </select>
          </label>
        )}
      </footer>
      {noteDay !== null && <NoteDialog day={noteDay} notes={noted.value ?? []} onClose={() => setNoteDay(null)} />}
    </section>
  );
}

/** The notes by the bucket that their day is in. */
function notesAt(
  notes: readonly { readonly day: string; readonly text: string }[],
  labels: readonly string[],
  interval: Interval,
): readonly Note[] {
  return notes.flatMap(({ day, text }) => {
    const begin = interval === "week" ? weekStart(day) : interval === "month" ? monthStart(day) : day;
    const at = labels.findIndex((label) => label.slice(0, 10) === begin);
    return at < 0 ? [] : [{ at, text }];
  });
}

interface LegendProps {
  readonly told: { readonly date_range: readonly [string, string]; readonly comparison_date_range?: readonly [string, string] } | undefined;
  readonly compares: boolean;
}

function Legend({ told, compares }: LegendProps) {
  const before = compares ? told?.comparison_date_range : undefined;
  if (!told) return null;
  return (
    <p class="legend">
      <span>
        <i class="key tone-main" /> {rangeWords(told.date_range)}
      </span>
      {before && (
        <span>
          <i class="key tone-before" /> {rangeWords(before)}
        </span>
      )}
    </p>
  );
}

/** Days of an answer's range, whose ends are moments of the site's calendar. */
export function rangeWords([from, to]: readonly [string, string]): string {
  return times.range({ from: from.slice(0, 10), to: to.slice(0, 10) });
}
