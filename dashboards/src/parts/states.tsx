/** What a part of the page says while it has nothing to show: loading, an error with a way out, nothing with a way on. */

import type { ComponentChildren } from "preact";

import type { ApiError } from "../api/client";
import type { Answered } from "../api/remembered";
import { Icon } from "./icon";

export function Failure({ error, retry }: { readonly error: ApiError; readonly retry: () => void }) {
  return (
    <div class="failure" role="alert">
      <p>
        <Icon name="warn" /> {error.message}
      </p>
      <button type="button" onClick={retry}>
        Try again
      </button>
    </div>
  );
}

/** Grey shapes where the answer will be. */
export function Waiting({ rows = 6 }: { readonly rows?: number }) {
  return (
    <div class="waits" role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, at) => (
        <i key={at} />
      ))}
    </div>
  );
}

export function Empty({ children }: { readonly children: ComponentChildren }) {
  return <div class="empty">{children}</div>;
}

interface AnswerProps<T> {
  readonly answer: Answered<T>;
  readonly rows?: number;
  readonly children: (value: T) => ComponentChildren;
}

/** An answer once it is there; the old one, dimmed, while the next loads or when that failed. */
export function Answer<T>({ answer, rows, children }: AnswerProps<T>) {
  const { value, error, isStale, isLoading, retry } = answer;
  return (
    <>
      {error && <Failure error={error} retry={retry} />}
      {value === undefined && !error && <Waiting {...(rows === undefined ? {} : { rows })} />}
      {value !== undefined && !(error && isStale) && (
        <div class={`answer${isStale ? " stale" : ""}`} aria-busy={isLoading && isStale}>
          {children(value)}
        </div>
      )}
    </>
  );
}
