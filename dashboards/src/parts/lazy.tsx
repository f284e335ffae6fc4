/** A part of the page whose script is loaded when it is first shown. */

import type { FunctionComponent } from "preact";
import { useEffect, useState } from "preact/hooks";

import { ApiError } from "../api/client";
import { Failure, Waiting } from "./states";

interface LazyProps {
  readonly load: () => Promise<FunctionComponent>;
}

export function Lazy({ load }: LazyProps) {
  const [Part, setPart] = useState<FunctionComponent | null>(null);
  const [hasFailed, setFailed] = useState(false);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let isAwaited = true;
    setFailed(false);
    load().then(
      (part) => isAwaited && setPart(() => part),
      () => isAwaited && setFailed(true),
    );
    return () => void (isAwaited = false);
  }, [turn]);
  if (hasFailed) {
    // A release that came in between has other names: only loading the page again finds them.
    const error = new ApiError(0, "This part of the page could not be loaded. Look at your connection, or load the page again.");
    return <Failure error={error} retry={() => setTurn(turn + 1)} />;
  }
  return Part ? <Part /> : <Waiting />;
}
