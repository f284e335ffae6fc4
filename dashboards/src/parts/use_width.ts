/** The width of an element, as the page gives it. */

import type { RefObject } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";

/** In CSS pixels; 0 before the first layout. */
export function useWidth(of: RefObject<HTMLElement | null>): number {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = of.current;
    if (!element) return undefined;
    setWidth(element.clientWidth);
    const watching = new ResizeObserver(() => setWidth(element.clientWidth));
    watching.observe(element);
    return () => watching.disconnect();
  }, [of.current]);
  return width;
}
