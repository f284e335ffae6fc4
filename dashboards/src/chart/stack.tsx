/** Layers upon each other over time; where nothing was measured there is a gap. */

import { type Scale, type Values, runs, stacked } from "./scale";

interface StackProps {
  readonly scale: Scale;
  /** All of them have gaps at the same places. */
  readonly layers: readonly { readonly name: string; readonly values: Values; readonly tone: string }[];
}

/** A bucket between two gaps is a column so wide. */
const LONE_WIDTH_PX = 12;

export function Stack({ scale, layers }: StackProps) {
  const edges = stacked(layers.map((layer) => layer.values));
  const spans = runs(layers[0]?.values ?? []);
  return (
    <g class="stack">
      {layers.map(({ name, tone }, at) => {
        const [upper = [], lower = null] = [edges[at], at > 0 ? edges[at - 1] : null];
        return spans.map(([from, to]) => {
          const key = `${name} ${from}`;
          if (to > from) return <path key={key} class={tone} d={scale.area(upper, lower ?? null, from, to)} />;
          const [top, bottom] = [scale.y(upper[from] ?? 0), scale.y(lower?.[from] ?? 0)];
          const left = Math.min(Math.max(scale.x(from) - LONE_WIDTH_PX / 2, 0), scale.width - LONE_WIDTH_PX);
          return <rect key={key} class={tone} x={left} width={LONE_WIDTH_PX} y={top} height={bottom - top} />;
        });
      })}
    </g>
  );
}
