/** A figure: short to the eye, exact on hover, on focus and to screen readers. */

import type { Unit } from "../metrics";
import { numbers } from "../words/speech";
import { type Figure as Value, amount, changeOf } from "../words/numbers";

interface FigureProps {
  readonly value: Value;
  readonly unit: Unit;
}

export function Figure({ value, unit }: FigureProps) {
  const [short, exact] = [numbers.short(value, unit), numbers.exact(value, unit)];
  if (short === exact) return <>{exact}</>;
  return (
    <span class="exact" data-exact={exact}>
      <span aria-hidden="true">{short}</span>
      <span class="unseen">{exact}</span>
    </span>
  );
}

interface ChangeProps extends FigureProps {
  readonly before: Value;
  readonly better: "up" | "down" | null;
}

/** How a figure changed against the other period: by sign, by arrow, and only then by colour. */
export function Change({ value, before, unit, better }: ChangeProps) {
  const change = changeOf(value, before);
  // Nothing before and nothing now is no change worth a word.
  if (amount(value) === 0 && amount(before) === 0) return null;
  const was = `${numbers.exact(before, unit)} before`;
  if (change === null) {
    // A rate has no beginning: where nobody was there before, there was none.
    const isNew = value !== null && before !== null && (unit === "count" || unit === "money");
    return isNew ? <span class="change" title={was}>new</span> : null;
  }
  const direction = change > 0 ? "up" : change < 0 ? "down" : null;
  const tone = direction === null || better === null ? "" : direction === better ? " good" : " bad";
  return (
    <span class={`change${tone}`} title={was}>
      {direction && <span aria-hidden="true">{direction === "up" ? "↑" : "↓"} </span>}
      {numbers.change(change)}
      <span class="unseen">, {was}</span>
    </span>
  );
}
