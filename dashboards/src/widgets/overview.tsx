/** The first look: figures and their chart, sources, pages, places, devices, goals. */

import { useView } from "../view/navigation";
import { Figures } from "./figures";
import { Goals } from "./goals";
import { History } from "./history";
import { ListPanel, type Tab } from "./list_panel";
import { Places } from "./places";

const CAMPAIGNS: Tab = {
  label: "Campaigns",
  dimensions: ["utm_campaign", "utm_source", "utm_medium", "utm_content", "utm_term"],
};

const BROWSERS: Tab = { label: "Browsers", dimensions: ["browser", "browser_version"] };
const SYSTEMS: Tab = { label: "Systems", dimensions: ["os", "os_version"] };

/** As high as the map beside them. */
const ROWS_BESIDE_MAP = 12;

export function Overview() {
  const { view } = useView();
  const isBesideMap = view.tabs.places === "country";
  return (
    <>
      <div class="panel head">
        <Figures />
        <History />
      </div>
      <div class="two">
        <ListPanel
          panel="sources"
          title="Sources"
          tabs={["channel", "source", "referrer", CAMPAIGNS]}
          words={{ source: "Sources", utm_campaign: "Campaigns" }}
        />
        <ListPanel
          panel="pages"
          title="Pages"
          tabs={["page", "entry_page", "exit_page"]}
          words={{ page: "Top", entry_page: "Entry", exit_page: "Exit" }}
        />
        <Places />
        <ListPanel
          panel="devices"
          title="Devices"
          tabs={[BROWSERS, SYSTEMS, "device", "screen"]}
          {...(isBesideMap ? { rows: ROWS_BESIDE_MAP } : {})}
          words={{ os: "Systems", device: "Types", screen: "Screens", browser_version: "Versions", os_version: "Versions" }}
        />
      </div>
      <Goals />
    </>
  );
}
