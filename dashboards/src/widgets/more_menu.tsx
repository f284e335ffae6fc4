/** Everything that is seldom wanted: exports, settings, what keys do. */

import { exportAddress } from "../api/exports";
import { HEADLINES } from "../metrics";
import { Icon } from "../parts/icon";
import { Menu } from "../parts/menu";
import { useSite } from "../view/site";
import { useInterval } from "./history";

export function MoreMenu({ onHelp }: { readonly onHelp: () => void }) {
  const { shell, scope } = useSite();
  const { interval } = useInterval();
  const series = { metrics: HEADLINES, dimensions: [`time:${interval}`] };
  return (
    <Menu name="More" side="right" label={<Icon name="more" />}>
      {(close) => (
        <>
          <h3>Export this view</h3>
          <ul>
            <li>
              <a href={exportAddress(scope, series)} download onClick={close}>
                Figures over time, CSV
              </a>
            </li>
            <li>
              <a href={exportAddress(scope, series, scope.filters, "json")} download onClick={close}>
                Figures over time, JSON
              </a>
            </li>
            {shell.role !== null && shell.has_event_export && (
              <li>
                <a href={exportAddress(scope, { metrics: [] }, scope.filters, "parquet")} download onClick={close}>
                  All events, Parquet
                </a>
              </li>
            )}
          </ul>
          <ul>
            {shell.links.settings && (
              <li class="opens-group">
                <a href={shell.links.settings}>Settings of this site</a>
              </li>
            )}
            {shell.links.reports && (
              <li class={shell.links.settings ? "" : "opens-group"}>
                <a href={shell.links.reports}>Reports by mail</a>
              </li>
            )}
            {shell.links.install && (
              <li>
                <a href={shell.links.install}>Snippet and installation</a>
              </li>
            )}
            <li class={shell.links.settings || shell.links.reports ? "" : "opens-group"}>
              <button
                type="button"
                onClick={() => {
                  close();
                  onHelp();
                }}
              >
                Keyboard shortcuts <kbd>?</kbd>
              </button>
            </li>
          </ul>
        </>
      )}
    </Menu>
  );
}
