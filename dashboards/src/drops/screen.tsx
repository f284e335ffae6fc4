/** Hits that were not counted, by reason and day: nothing is left out silently. */

import { type DroppedHits, useDrops } from "../api/stats";
import { Plot } from "../chart/plot";
import { Stack } from "../chart/stack";
import { Figure } from "../parts/figure";
import { Answer, Empty } from "../parts/states";
import { useState } from "preact/hooks";
import { TableToggle } from "../parts/table_toggle";
import { useView } from "../view/navigation";
import { numbers } from "../words/speech";
import { reasonWords } from "./reasons";

/** As many layers as can be told apart; what is left is one of them. */
const LAYERS = 5;

export function Drops() {
  const { view } = useView();
  return (
    <>
      {(view.filters.length > 0 || view.segmentId !== null) && (
        <p class="notice-line">Of a hit that was not counted only its reason and its day are kept, so filters do not apply here.</p>
      )}
      <section class="panel" aria-label="Dropped hits">
        <Answer answer={useDrops()}>{(drops) => <Found drops={drops} />}</Answer>
      </section>
    </>
  );
}

function Found({ drops }: { readonly drops: DroppedHits }) {
  const [showsTable, setShowsTable] = useState(false);
  const { answered, accepted, dropped, reasons, days } = drops;
  if (answered === 0) return <Empty>No hit arrived in this period.</Empty>;
  const layers = layersOf(drops);
  return (
    <>
      <header class="controls">
        <div class="lead-figures">
          <p>
            <b>
              <Figure value={accepted} unit="count" />
            </b>{" "}
            <span>hits counted</span>
          </p>
          <p>
            <b>
              <Figure value={dropped} unit="count" />
            </b>{" "}
            <span>hits dropped, {numbers.exact((100 * dropped) / answered, "percent")} of all</span>
          </p>
        </div>
        <span class="grows" />
        {dropped > 0 && <TableToggle isOn={showsTable} onToggle={setShowsTable} />}
      </header>
      {dropped === 0 ? (
        <Empty>Every hit of this period was counted.</Empty>
      ) : (
        <>
          <Plot
            title="Dropped hits by day"
            labels={days.map((each) => each.day)}
            interval="day"
            unit="count"
            series={layers}
            most={Math.max(0, ...days.map((each) => each.dropped))}
            showsTable={showsTable}
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
          <table class="reasons">
            <caption class="unseen">Reasons</caption>
            <thead>
              <tr>
                <th scope="col">Reason</th>
                <th scope="col" class="about">
                  What it means
                </th>
                <th scope="col" class="number">
                  Hits
                </th>
                <th scope="col" class="number">
                  Share
                </th>
              </tr>
            </thead>
            <tbody>
              {reasons.map(({ reason, label, hits }) => (
                <tr key={reason}>
                  <th scope="row">{label}</th>
                  <td class="about soft">{reasonWords(reason)}</td>
                  <td class="number">
                    <Figure value={hits} unit="count" />
                  </td>
                  <td class="number">{numbers.exact((100 * hits) / answered, "percent")}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </>
      )}
    </>
  );
}

/** The reasons with most hits, each a layer of the chart, and the others as one. */
function layersOf({ reasons, days }: DroppedHits) {
  const own = reasons.length > LAYERS ? reasons.slice(0, LAYERS - 1) : reasons;
  const others = reasons.slice(own.length);
  const layers = own.map(({ label, by_day }) => ({ name: label, values: by_day }));
  if (others.length > 0) {
    layers.push({ name: "Other reasons", values: days.map((_, at) => others.reduce((sum, each) => sum + (each.by_day[at] ?? 0), 0)) });
  }
  return layers.map((layer, at) => ({ ...layer, tone: `layer-${LAYERS - at}` }));
}
