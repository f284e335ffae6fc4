/** How many people are on the site at this moment. */

import { useRealtime } from "../api/stats";
import { Figure } from "../parts/figure";
import { ViewLink } from "../view/navigation";

/** A hit is a row within seconds; asking more often would show the same. */
const EVERY_MS = 10_000;

export function HereNow() {
  const { value } = useRealtime(EVERY_MS);
  return (
    <ViewLink to={{ screen: "realtime" }} class="here-now" title="Visitors in the last five minutes">
      <i class={value?.visitors ? "dot live" : "dot"} />
      <span>
        {value === undefined ? "…" : <Figure value={value.visitors} unit="count" />} <span>here now</span>
      </span>
    </ViewLink>
  );
}
