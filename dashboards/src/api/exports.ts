/** Addresses of exports: links, so that the browser saves what comes as it comes. */

import type { ApiFilter } from "../view/filters";
import { address } from "./client";
import type { Question, Scope } from "./query";

export type ExportFormat = "csv" | "json" | "parquet";

const PATH = "/api/stats/export";

/** A list or a chart as a file: the question as the query API takes it, in the address. */
export function exportAddress(
  scope: Scope,
  question: Question,
  filters: readonly ApiFilter[] = scope.filters,
  format: ExportFormat = "csv",
): string {
  return address(PATH, {
    site_id: scope.site_id,
    format,
    date_range: JSON.stringify(scope.date_range),
    metrics: JSON.stringify(question.metrics),
    dimensions: JSON.stringify(question.dimensions ?? []),
    ...(filters.length > 0 ? { filters: JSON.stringify(filters) } : {}),
    ...(question.order_by ? { order_by: JSON.stringify(question.order_by) } : {}),
  });
}
