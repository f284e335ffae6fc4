/** Whether a part of the page has come near the window: parts further down ask for nothing until then. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { RefObject } from "preact";

/** A quick scroll should not outrun the answers. */
const MARGIN = "300px";

export function useNear<T extends HTMLElement>(): readonly [RefObject<T | null>, boolean] {
  const element = useRef<T>(null);
  const [isNear, setNear] = useState(false);
  useEffect(() => {
    if (!element.current || isNear) return undefined;
    const watching = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && setNear(true), {
      rootMargin: MARGIN,
    });
    watching.observe(element.current);
    return () => watching.disconnect();
  }, [isNear]);
  return [element, isNear];
}
