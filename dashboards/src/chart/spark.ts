/** A line so small that it has no axis. No DOM here. */

export const SPARK_WIDTH = 240;
export const SPARK_HEIGHT = 48;

/** Room for the line's own width at the top and the bottom. */
const EDGE = 3;

export interface Spark {
  readonly line: string;
  /** What lies under the line. */
  readonly area: string;
}

/** The paths in a box of SPARK_WIDTH by SPARK_HEIGHT, from 0 to the greatest value. */
export function sparkPaths(values: readonly number[]): Spark {
  const most = Math.max(1, ...values);
  const step = values.length > 1 ? SPARK_WIDTH / (values.length - 1) : 0;
  const y = (value: number): number => Math.round(SPARK_HEIGHT - EDGE - (value / most) * (SPARK_HEIGHT - 2 * EDGE));
  const line = `M${values.map((value, at) => `${Math.round(at * step)},${y(value)}`).join("L")}`;
  return { line, area: `${line}L${SPARK_WIDTH},${SPARK_HEIGHT}L0,${SPARK_HEIGHT}Z` };
}
