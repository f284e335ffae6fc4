/** Which filters hold for a funnel: those about whole visits. The API refuses the others, which tell single events apart. */

import { apiDimension } from "../dimensions";
import type { Filter } from "../view/filters";

export function funnelFilters(filters: readonly Filter[]): { readonly kept: readonly Filter[]; readonly ignored: readonly Filter[] } {
  const isOfVisits = (filter: Filter): boolean => apiDimension(filter.dimension).startsWith("visit:");
  return { kept: filters.filter(isOfVisits), ignored: filters.filter((each) => !isOfVisits(each)) };
}
