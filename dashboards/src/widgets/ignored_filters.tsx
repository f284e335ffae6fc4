/** Says which filters cannot hold for what is shown, why, and takes them away for whoever wants that. */

import { NO_DETAIL } from "../view/view";
import type { Filter } from "../view/filters";
import { ViewLink, useView } from "../view/navigation";
import { names } from "../words/speech";

interface IgnoredFiltersProps {
  readonly filters: readonly Filter[];
  readonly why: string;
}

export function IgnoredFilters({ filters, why }: IgnoredFiltersProps) {
  const { view } = useView();
  if (filters.length === 0) return null;
  return (
    <p class="notice-line">
      {why}, so this does not apply here: {filters.map((filter) => names.filter(filter)).join("; ")}.{" "}
      <ViewLink to={{ ...NO_DETAIL, filters: view.filters.filter((each) => !filters.includes(each)) }}>Take it away</ViewLink>
    </p>
  );
}
