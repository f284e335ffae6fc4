/** How page loads divide among the ratings, as the API says it. */

/** Percent good, needs improvement, poor; null where nothing was measured. */
export type Shares = readonly [number, number, number];

export function sharesOf(given: unknown): Shares | null {
  if (typeof given !== "object" || given === null) return null;
  const shares = given as Readonly<Record<string, number>>;
  return [shares["good"] ?? 0, shares["needs_improvement"] ?? 0, shares["poor"] ?? 0];
}
