/** How fast pages were for the people who loaded them: vitals with their ratings, and the browser's own timings. */

import { PERCENTILES } from "../view/view";
import { ViewLink, useView } from "../view/navigation";
import { percentileWords } from "../performance_terms";
import { IgnoredFilters } from "../widgets/ignored_filters";
import { SpeedTable } from "./speed_table";
import { Distribution } from "./distribution";
import { speedFilters } from "./speed_query";
import { TimingHistory } from "./timing_history";
import { VitalCards } from "./vital_cards";
import { VitalHistory } from "./vital_history";
import { Waterfall } from "./waterfall";

export function Performance() {
  const { view } = useView();
  const { ignored } = speedFilters(view.filters);
  return (
    <div class="speeds">
      <div class="controls">
        <ul class="facets" aria-label="What is shown">
          {(["vitals", "timings"] as const).map((speed) => (
            <li key={speed}>
              <ViewLink to={{ speed }} current={view.speed === speed}>
                {speed === "vitals" ? "Web vitals" : "Browser timings"}
              </ViewLink>
            </li>
          ))}
        </ul>
        <span class="grows" />
        <ul class="choices" aria-label="Percentile">
          {PERCENTILES.map((percentile) => (
            <li key={percentile}>
              <ViewLink to={{ percentile }} current={view.percentile === percentile} title={percentileWords(percentile)}>
                p{percentile}
              </ViewLink>
            </li>
          ))}
        </ul>
      </div>
      <p class="soft">{percentileWords(view.percentile)}.</p>
      <IgnoredFilters filters={ignored} why="Speed belongs to a page load" />
      {view.speed === "vitals" ? (
        <>
          <VitalCards />
          <div class="two">
            <VitalHistory />
            <Distribution />
          </div>
        </>
      ) : (
        <div class="two">
          <Waterfall />
          <TimingHistory />
        </div>
      )}
      <SpeedTable />
    </div>
  );
}
