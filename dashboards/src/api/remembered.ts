/**
 * An answer for as long as a part of the page is shown.
 *
 * While another one loads, the old one stays, marked as stale; a request that nobody waits for any more is cancelled; an error
 * stays until one tries again. Going back shows at once what was there, and asks again when that is older than `FRESH_MS`.
 */

import { useEffect, useRef, useState } from "preact/hooks";

import { ApiError, isAborted } from "./client";

/** The server keeps the answers about today for 10 s; asking sooner would tell nothing new. */
const FRESH_MS = 10_000;
/** Some dozens of views with their panels; an answer is a few kilobytes. */
const MOST_KEPT = 400;

const kept = new Map<string, { readonly value: unknown; readonly atMs: number }>();

function keep(key: string, value: unknown): void {
  kept.delete(key);
  kept.set(key, { value, atMs: Date.now() });
  const oldest = kept.keys().next();
  if (kept.size > MOST_KEPT && !oldest.done) kept.delete(oldest.value);
}

/** Forget everything: something was changed that answers depend on. */
export function forget(): void {
  kept.clear();
  for (const again of waiting) again();
}

const waiting = new Set<() => void>();

export interface Answered<T> {
  /** The newest answer there is, perhaps to the question before this one. */
  readonly value: T | undefined;
  /** Whether `value` is the answer to an older question. */
  readonly isStale: boolean;
  readonly isLoading: boolean;
  readonly error: ApiError | null;
  readonly retry: () => void;
}

interface State<T> {
  readonly key: string | null;
  readonly value: T | undefined;
  readonly error: ApiError | null;
  readonly isLoading: boolean;
}

/** The answer to the question `key`, which `load` asks; none while `key` is null. Asked again every `everyMs` while looked at. */
export function useAnswer<T>(
  key: string | null,
  load: (signal: AbortSignal) => Promise<T>,
  everyMs?: number,
): Answered<T> {
  const [state, setState] = useState<State<T>>({ key: null, value: undefined, error: null, isLoading: key !== null });
  const [turn, setTurn] = useState(0);
  const loading = useRef(load);
  loading.current = load;

  useEffect(() => {
    const again = (): void => setTurn((before) => before + 1);
    waiting.add(again);
    return () => void waiting.delete(again);
  }, []);

  useEffect(() => {
    if (key === null) return undefined;
    const known = kept.get(key);
    if (known) setState({ key, value: known.value as T, error: null, isLoading: false });
    const isFresh = known !== undefined && Date.now() - known.atMs < FRESH_MS;
    const aborting = new AbortController();
    let isUnderWay = false;
    const run = async (): Promise<void> => {
      // Where answers take longer than the time between questions, one at a time is enough.
      if (isUnderWay) return;
      isUnderWay = true;
      setState((before) => ({ ...before, error: null, isLoading: true }));
      try {
        const value = await loading.current(aborting.signal);
        if (aborting.signal.aborted) return;
        keep(key, value);
        setState({ key, value, error: null, isLoading: false });
      } catch (failure) {
        if (isAborted(failure) || aborting.signal.aborted) return;
        const error = failure instanceof ApiError ? failure : new ApiError(0, "This answer could not be read.");
        if (!(failure instanceof ApiError)) console.error(failure);
        setState((before) => ({ ...before, error, isLoading: false }));
      } finally {
        isUnderWay = false;
      }
    };
    if (!isFresh) void run();
    const timer = everyMs === undefined ? undefined : setInterval(() => document.hidden || void run(), everyMs);
    return () => {
      aborting.abort();
      clearInterval(timer);
    };
  }, [key, turn, everyMs]);

  return {
    value: state.value,
    isStale: state.value !== undefined && state.key !== key,
    isLoading: state.isLoading,
    error: state.error,
    retry: () => setTurn((before) => before + 1),
  };
}
