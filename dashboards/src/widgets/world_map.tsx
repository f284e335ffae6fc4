/**
 * The map of countries: the more visitors, the stronger the one colour, in five steps of a factor each, so that it reads
 * without telling colours apart. The list under it says the same to screen readers and keyboards. Loaded when it is seen.
 */

import { useEffect, useState } from "preact/hooks";
import type World from "virtual:world-map";

import type { Row } from "../api/query";
import { useView } from "../view/navigation";
import { withFilter } from "../view/filters";
import { names, numbers } from "../words/speech";
import { amount } from "../words/numbers";

const STEPS = 5;

/** Which of the steps a country is in: equal factors between one visitor and the most. */
export function stepOf(visitors: number, most: number): number {
  if (visitors <= 0) return 0;
  return most <= 1 ? STEPS : 1 + Math.min(STEPS - 1, Math.floor((Math.log(visitors) / Math.log(most)) * STEPS));
}

interface Pointed {
  readonly code: string;
  readonly x: number;
  readonly y: number;
}

export function WorldMap({ rows }: { readonly rows: readonly Row[] }) {
  const [world, setWorld] = useState<typeof World | null>(null);
  const [pointed, setPointed] = useState<Pointed | null>(null);
  const { view, go } = useView();
  useEffect(() => {
    void import("virtual:world-map").then((module) => setWorld(module.default));
  }, []);
  const visitors = new Map(rows.map((row) => [row.dimensions[0] ?? "", amount(row.metrics[0] ?? 0) ?? 0]));
  const most = Math.max(0, ...visitors.values());
  const point = (event: PointerEvent): void => {
    const code = event.target instanceof SVGElement ? event.target.dataset["country"] : undefined;
    setPointed(code === undefined ? null : { code, x: event.offsetX, y: event.offsetY });
  };
  const choose = (event: MouseEvent): void => {
    const code = event.target instanceof SVGElement ? event.target.dataset["country"] : undefined;
    if (code !== undefined) go({ filters: withFilter(view.filters, { operation: "is", dimension: "country", values: [code] }) });
  };
  return (
    <div class="map" aria-hidden="true">
      {world && (
        <svg
          viewBox={`0 0 ${world.width} ${world.height}`}
          focusable="false"
          onPointerMove={point}
          onPointerLeave={() => setPointed(null)}
          onClick={choose}
        >
          {world.countries.map(([code, path]) => (
            <path key={code} d={path} data-country={code} class={`step-${stepOf(visitors.get(code) ?? 0, most)}`} />
          ))}
        </svg>
      )}
      {pointed && (
        <p class="tooltip" style={{ transform: `translate(${pointed.x + 12}px, ${pointed.y + 12}px)` }}>
          {names.country(pointed.code)} <b>{numbers.exact(visitors.get(pointed.code) ?? 0, "count")}</b>
        </p>
      )}
    </div>
  );
}

