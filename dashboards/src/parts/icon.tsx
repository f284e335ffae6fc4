/** The few pictograms, drawn in the colour of the text beside them. They say nothing that words do not say too. */

const PATHS = {
  filter: "M2 3.5h12M4.5 8h7M7 12.5h2",
  down: "M4 6l4 4 4-4",
  left: "M10 3.5L5.5 8l4.5 4.5",
  right: "M6 3.5L10.5 8 6 12.5",
  more: "M3 8h.01M8 8h.01M13 8h.01",
  close: "M4 4l8 8M12 4l-8 8",
  table: "M2.5 3.5h11v9h-11zM2.5 6.5h11M2.5 9.5h11M6 3.5v9",
  chart: "M2 12.5l3.5-5 3 3L14 3.5",
  note: "M3 2.5h10v8l-3 3H3zM5.5 6h5M5.5 8.5h3",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.5 10.5L14 14",
  download: "M8 2v8M4.5 7L8 10.5 11.5 7M2.5 13.5h11",
  compare: "M5 13V4M5 4L2.5 6.5M5 4l2.5 2.5M11 3v9M11 12l-2.5-2.5M11 12l2.5-2.5",
  not: "M3.5 3.5l9 9M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12z",
  plus: "M8 3v10M3 8h10",
  edit: "M3 13l.6-2.8L11 2.8l2.2 2.2-7.4 7.4z",
  bin: "M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.5 9h6l.5-9",
  warn: "M8 2.5l6 11H2zM8 6.5v3.5M8 12h.01",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
