/** The lines of a chart: the main one with its area, its last bucket dashed while that is not over, the other period thin. */

import { useId } from "preact/hooks";

import { type Scale, type Values, runs } from "./scale";

interface LinesProps {
  readonly scale: Scale;
  readonly values: Values;
  readonly before?: Values | null;
  /** The bucket that is not over yet, -1 without one. */
  readonly presentAt: number;
  readonly hasArea?: boolean;
}

export function Lines({ scale, values, before, presentAt, hasArea = true }: LinesProps) {
  const gradient = useId();
  const last = presentAt < 0 ? values.length - 1 : presentAt - 1;
  const whole = runs(values);
  return (
    <g class="lines">
      <defs>
        <linearGradient id={gradient} x1="0" x2="0" y1="0" y2="1">
          <stop offset="0" class="fade-from" />
          <stop offset="1" class="fade-to" />
        </linearGradient>
      </defs>
      {hasArea &&
        whole.map(([from, to]) => (
          <path key={from} class="area" d={scale.area(values, null, from, to)} fill={`url(#${gradient})`} />
        ))}
      {before && <path class="before" d={scale.line(before)} />}
      <path class="main" d={scale.line(values, 0, last)} />
      {presentAt > 0 && <path class="main open" d={scale.line(values, presentAt - 1, presentAt)} />}
      {whole
        .filter(([from, to]) => from === to)
        .map(([at]) => (
          <circle key={at} class="alone" cx={scale.x(at)} cy={scale.y(values[at] ?? 0)} r={3.5} />
        ))}
    </g>
  );
}
