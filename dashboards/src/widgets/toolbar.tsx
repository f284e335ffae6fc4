/** The first line: which site, how many are here now; filters, comparison, period, and everything else. */

import { Icon } from "../parts/icon";
import { Menu } from "../parts/menu";
import { sitePath } from "../shell";
import { useView } from "../view/navigation";
import { useSite } from "../view/site";
import { CompareMenu } from "./compare_menu";
import { FilterMenu } from "./filter_menu";
import { HereNow } from "./here_now";
import { MoreMenu } from "./more_menu";
import { PeriodMenu } from "./period_menu";

interface ToolbarProps {
  readonly onOpen: (dialog: "filter" | "days" | "compare" | "help") => void;
}

export function Toolbar({ onOpen }: ToolbarProps) {
  const { view } = useView();
  const hasDays = view.screen !== "realtime";
  return (
    <div class="toolbar">
      <div class="whose">
        <SiteMenu />
        <HereNow />
      </div>
      <div class="asks">
        {hasDays && (
          <>
            <FilterMenu onNew={() => onOpen("filter")} />
            <CompareMenu onCustom={() => onOpen("compare")} />
            <PeriodMenu onCustom={() => onOpen("days")} />
          </>
        )}
        <MoreMenu onHelp={() => onOpen("help")} />
      </div>
    </div>
  );
}

/** The site's name; where there are others, the way to them. */
function SiteMenu() {
  const { shell } = useSite();
  if (shell.sites.length < 2) return <h1>{shell.domain}</h1>;
  return (
    <>
      <h1 class="unseen">{shell.domain}</h1>
      <Menu class="sites" label={<><b>{shell.domain}</b> <Icon name="down" /></>}>
        {() => (
          <ul>
            {shell.sites.map((domain) => (
              <li key={domain}>
                <a href={sitePath(domain)} {...(domain === shell.domain ? { "aria-current": "true" as const } : {})}>
                  {domain}
                </a>
              </li>
            ))}
            {shell.links.overview && (
              <li class="opens-group">
                <a href={shell.links.overview}>All sites</a>
              </li>
            )}
          </ul>
        )}
      </Menu>
    </>
  );
}
