/** Where visitors are: the map and the list of countries, and the languages of their browsers. */

import { useView } from "../view/navigation";
import { ListPanel } from "./list_panel";
import { WorldMap } from "./world_map";

/** More than there are. */
const ALL_COUNTRIES = 300;
const ROWS_UNDER_MAP = 4;

export function Places() {
  const { view } = useView();
  const hasMap = view.tabs.places === "country";
  return (
    <ListPanel
      panel="places"
      title="Places"
      tabs={["country", "language"]}
      {...(hasMap ? { rows: ROWS_UNDER_MAP } : {})}
      above={hasMap ? { limit: ALL_COUNTRIES, show: (rows) => <WorldMap rows={rows} /> } : undefined}
      below={
        hasMap && (
          <small>
            IP Geolocation by <a href="https://db-ip.com">DB-IP</a>
          </small>
        )
      }
    />
  );
}

