/** A question to the query API for as long as a widget shows its answer. */

import type { ApiFilter } from "../view/filters";
import { useSite } from "../view/site";
import { type Question, type QueryAnswer, query, queryBody } from "./query";
import { type Answered, useAnswer } from "./remembered";

/** While new hits change the answer it is asked again: often enough to be alive, seldom enough to cost little. */
const LIVE_MS = 60_000;

interface How<A> {
  /** What the question is about, handed back with its answer. */
  readonly about: A;
  /** Ask for the other period too. */
  readonly compares?: boolean;
  /** False: not yet. */
  readonly when?: boolean;
  /** Of the view's days, but with these filters only. */
  readonly filters?: readonly ApiFilter[];
}

/** An answer with what it is about: while the next one loads, labels and links must still be those of this one. */
export interface Told<A> {
  readonly about: A;
  readonly answer: QueryAnswer;
}

export function useQuery<A>(question: Question, { about, compares = false, when = true, filters }: How<A>): Answered<Told<A>> {
  const { scope } = useSite();
  const body = queryBody(filters ? { ...scope, filters } : scope, question, compares);
  return useAnswer(
    // Two widgets may ask the same about different things.
    when ? JSON.stringify([body, about]) : null,
    async (signal) => ({ about, answer: await query(body, signal) }),
    scope.isLive ? LIVE_MS : undefined,
  );
}
