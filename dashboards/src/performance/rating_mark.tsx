/** A rating by its shape, its word and its colour. */

import { RATINGS, type Rating } from "../performance_terms";

/** Circle, triangle, square. */
const SHAPES = ["M8 3a5 5 0 1 1 0 10A5 5 0 0 1 8 3z", "M8 3l6 10H2z", "M3.5 3.5h9v9h-9z"];

export function RatingMark({ rating, isShort = false }: { readonly rating: Rating; readonly isShort?: boolean }) {
  const order = RATINGS.indexOf(rating);
  return (
    <span class={`rating rated-${order}`}>
      <svg viewBox="0 0 16 16" width="11" height="11" aria-hidden="true" focusable="false">
        <path d={SHAPES[order]} />
      </svg>{" "}
      <span class={isShort ? "unseen" : ""}>{rating}</span>
    </span>
  );
}
