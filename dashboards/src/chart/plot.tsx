/**
 * The frame of every chart over time: lines across, labels, a cursor that mouse, finger and arrow keys move, what it says,
 * and the same figures as a table.
 *
 * SVG rather than a canvas: styles of the page colour it in light and in dark, it prints, and a few hundred points are
 * little for it. The plot is a slider to the keyboard and to screen readers; its value is the bucket under the cursor in words.
 */

import type { ComponentChildren } from "preact";
import { useId, useRef, useState } from "preact/hooks";

import type { Interval } from "../calendar/periods";
import type { Unit } from "../metrics";
import { numbers, times } from "../words/speech";
import { useWidth } from "../parts/use_width";
import { Scale, type Values, labelled, ticksTo } from "./scale";

export interface Series {
  readonly name: string;
  readonly values: Values;
  /** Its colour, a class of charts.css. */
  readonly tone: string;
  /** The labels of its own buckets, where they are not the plot's. */
  readonly labels?: readonly (string | undefined)[];
}

export interface Note {
  readonly at: number;
  readonly text: string;
}

interface PlotProps {
  /** What the chart shows, for the slider and the table. */
  readonly title: string;
  readonly labels: readonly string[];
  readonly interval: Interval;
  readonly unit: Unit;
  /** The first is the main one. */
  readonly series: readonly Series[];
  /** The greatest value that has to fit. */
  readonly most: number;
  /** The bucket that is not over yet, -1 without one. */
  readonly presentAt?: number;
  readonly notes?: readonly Note[];
  readonly heightPx?: number;
  readonly showsTable?: boolean;
  readonly isStale?: boolean;
  /** What a click or Enter on a bucket does, in words and in deed. */
  readonly picks?: { readonly verb: string; readonly pick: (at: number) => void };
  readonly children: (scale: Scale) => ComponentChildren;
}

/** Room for the labels beside and under the plot. */
const LEFT_PX = 44;
const RIGHT_PX = 12;
const TOP_PX = 14;
const BOTTOM_PX = 22;

/** The widest label of an axis: "Sept 30", "12:00 am". */
const LABEL_PX = 72;

export function Plot(props: PlotProps) {
  const { title, labels, interval, unit, series, most, presentAt = -1, notes = [], heightPx = 210, picks } = props;
  const frame = useRef<HTMLDivElement>(null);
  const widthPx = useWidth(frame);
  const [cursor, setCursor] = useState<number | null>(null);
  const hint = useId();

  const ticks = ticksTo(most, unit);
  const top = ticks.at(-1) ?? 1;
  const scale = new Scale(
    Math.max(widthPx - LEFT_PX - RIGHT_PX, 10),
    heightPx - TOP_PX - BOTTOM_PX,
    labels.length,
    top,
  );
  const at = cursor === null || labels.length === 0 ? null : Math.min(cursor, labels.length - 1);
  const words = at === null ? "" : bucketWords(props, at);
  const spansYears = labels[0]?.slice(0, 4) !== labels.at(-1)?.slice(0, 4);

  const point = (event: PointerEvent): void => {
    const box = frame.current?.getBoundingClientRect();
    if (box) setCursor(scale.at(event.clientX - box.left - LEFT_PX));
  };
  const press = (event: KeyboardEvent): void => {
    const last = labels.length - 1;
    const from = at ?? (presentAt >= 0 ? presentAt : last);
    const moved = { ArrowLeft: from - (at === null ? 0 : 1), ArrowRight: from + 1, Home: 0, End: last }[event.key];
    if (moved !== undefined) setCursor(Math.min(Math.max(moved, 0), last));
    else if (event.key === "Enter" && at !== null && picks) picks.pick(at);
    else if (event.key === "Escape" && at !== null) setCursor(null);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  if (props.showsTable) return <SeriesTable {...props} />;
  return (
    <div
      class={`plot${props.isStale ? " stale" : ""}${picks ? " picks" : ""}`}
      ref={frame}
      role="slider"
      tabIndex={0}
      aria-label={title}
      aria-describedby={hint}
      aria-valuemin={0}
      aria-valuemax={Math.max(labels.length - 1, 0)}
      aria-valuenow={at ?? Math.max(presentAt, 0)}
      aria-valuetext={words || "No point chosen"}
      onPointerMove={point}
      onPointerDown={point}
      onPointerLeave={() => setCursor(null)}
      onBlur={() => setCursor(null)}
      onKeyDown={press}
      onClick={() => at !== null && picks?.pick(at)}
    >
      <span id={hint} class="unseen">
        Arrow keys move along the chart{picks ? `, Enter: ${picks.verb}` : ""}.
      </span>
      {widthPx > 0 && (
        <svg width={widthPx} height={heightPx} aria-hidden="true" focusable="false">
          <g transform={`translate(${LEFT_PX} ${TOP_PX})`}>
            {ticks.map((tick) => (
              <g key={tick} class="tick" transform={`translate(0 ${scale.y(tick)})`}>
                <line x2={scale.width} class={tick === 0 ? "base" : ""} />
                <text x={-8} dy="0.32em" text-anchor="end">
                  {numbers.short(tick, unit)}
                </text>
              </g>
            ))}
            {labelled(labels.length, scale.width, LABEL_PX).map((each) => (
              <text
                key={each}
                class="tick"
                x={scale.x(each)}
                y={scale.height + 17}
                text-anchor={anchorAt(scale, each)}
              >
                {times.tick(labels[each] ?? "", interval, spansYears)}
              </text>
            ))}
            {notes.map((note) => (
              <g key={`${note.at} ${note.text}`} class="note" transform={`translate(${scale.x(note.at)} 0)`}>
                <line y1={-4} y2={scale.height} />
                <circle r={4} cy={-6} />
              </g>
            ))}
            {props.children(scale)}
            {at !== null && <Cursor scale={scale} at={at} series={series} />}
          </g>
        </svg>
      )}
      {at !== null && <Tooltip {...props} at={at} left={LEFT_PX + scale.x(at)} widthPx={widthPx} />}
    </div>
  );
}

/** Labels at the ends stay inside the plot. */
function anchorAt(scale: Scale, at: number): "start" | "middle" | "end" {
  const x = scale.x(at);
  if (x > scale.width - LABEL_PX / 2) return "end";
  return x < LABEL_PX / 2 - LEFT_PX ? "start" : "middle";
}

function Cursor({ scale, at, series }: { readonly scale: Scale; readonly at: number; readonly series: readonly Series[] }) {
  return (
    <g class="cursor">
      <line x1={scale.x(at)} x2={scale.x(at)} y2={scale.height} />
      {series.map(({ name, values, tone }) => {
        const value = values[at];
        if (value === null || value === undefined || tone.startsWith("layer")) return null;
        return <circle key={name} class={tone} cx={scale.x(at)} cy={scale.y(value)} r={4.5} />;
      })}
    </g>
  );
}

/** What a bucket says, as one sentence. */
function bucketWords({ labels, interval, unit, series, presentAt, notes = [] }: PlotProps, at: number): string {
  const figures = series.map(({ name, values }) => `${name} ${numbers.exact(values[at] ?? null, unit)}`);
  const noted = notes.filter((note) => note.at === at).map((note) => `Note: ${note.text}`);
  const open = at === presentAt ? " so far" : "";
  return [`${times.bucket(labels[at] ?? "", interval)}${open}`, ...figures, ...noted].join(", ");
}

interface TooltipProps extends PlotProps {
  readonly at: number;
  readonly left: number;
  readonly widthPx: number;
}

const TOOLTIP_PX = 210;

function Tooltip({ labels, interval, unit, series, notes = [], presentAt, at, left, widthPx, picks }: TooltipProps) {
  const x = left + 14 + TOOLTIP_PX > widthPx ? Math.max(0, left - 14 - TOOLTIP_PX) : left + 14;
  return (
    <div class="tooltip" aria-hidden="true" style={{ transform: `translateX(${x}px)` }}>
      <p class="when">
        {times.bucket(labels[at] ?? "", interval)}
        {at === presentAt && <span class="soft"> · so far</span>}
      </p>
      {series.map((each) => (
        <p key={each.name} class="figure">
          <i class={`key ${each.tone}`} />
          <span>{nameAt(each, at, interval)}</span>
          <b>{numbers.exact(each.values[at] ?? null, unit)}</b>
        </p>
      ))}
      {notes
        .filter((note) => note.at === at)
        .map((note) => (
          <p key={note.text} class="noted">
            {note.text}
          </p>
        ))}
      {picks && <p class="soft">Click to {picks.verb}</p>}
    </div>
  );
}

/** What a series is called at a bucket: by that of its own buckets, where it has some. */
function nameAt({ name, labels }: Series, at: number, interval: Interval): string {
  const label = labels?.[at];
  return label === undefined ? name : times.bucket(label, interval);
}

/** The same figures to read one after the other. */
function SeriesTable({ title, labels, interval, unit, series, presentAt, notes = [], heightPx = 210 }: PlotProps) {
  return (
    <div class="series-table" tabIndex={0} role="region" aria-label={`${title}, as a table`} style={{ height: `${heightPx}px` }}>
      <table>
        <thead>
          <tr>
            <th scope="col">Time</th>
            {series.map(({ name }) => (
              <th key={name} scope="col" class="number">
                {name}
              </th>
            ))}
            {notes.length > 0 && <th scope="col">Notes</th>}
          </tr>
        </thead>
        <tbody>
          {labels.map((label, at) => (
            <tr key={label}>
              <th scope="row">
                {times.bucket(label, interval)}
                {at === presentAt && " (so far)"}
              </th>
              {series.map(({ name, values }) => (
                <td key={name} class="number">
                  {numbers.exact(values[at] ?? null, unit)}
                </td>
              ))}
              {notes.length > 0 && <td>{notes.filter((note) => note.at === at).map((note) => note.text).join("; ")}</td>}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
