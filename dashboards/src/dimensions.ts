/**
 * The dimensions one may break down and filter by: the short name of URLs, the API's name, words, and how values read.
 */

export type ValueKind = "text" | "country" | "language" | "path";

export interface Dimension {
  readonly api: string;
  /** A single value's noun, as in "Country is Nepal". */
  readonly label: string;
  /** The heading of a list. */
  readonly plural: string;
  readonly kind: ValueKind;
  /** What an empty value is called. */
  readonly empty: string;
}

function dimension(api: string, label: string, plural: string, more: Partial<Dimension> = {}): Dimension {
  return { api, label, plural, kind: "text", empty: "(not set)", ...more };
}

const TABLE = {
  page: dimension("event:page", "Page", "Pages", { kind: "path" }),
  entry_page: dimension("visit:entry_page", "Entry page", "Entry pages", { kind: "path" }),
  exit_page: dimension("visit:exit_page", "Exit page", "Exit pages", { kind: "path" }),
  hostname: dimension("event:hostname", "Hostname", "Hostnames"),
  source: dimension("visit:source", "Source", "Sources", { empty: "Direct / None" }),
  channel: dimension("visit:channel", "Channel", "Channels"),
  referrer: dimension("visit:referrer", "Referrer", "Referrers", { empty: "Direct / None" }),
  utm_medium: dimension("visit:utm_medium", "UTM medium", "UTM media"),
  utm_source: dimension("visit:utm_source", "UTM source", "UTM sources"),
  utm_campaign: dimension("visit:utm_campaign", "UTM campaign", "UTM campaigns"),
  utm_content: dimension("visit:utm_content", "UTM content", "UTM contents"),
  utm_term: dimension("visit:utm_term", "UTM term", "UTM terms"),
  click_id: dimension("visit:click_id", "Click id", "Click ids"),
  country: dimension("visit:country", "Country", "Countries", { kind: "country", empty: "Unknown" }),
  language: dimension("visit:language", "Language", "Languages", { kind: "language", empty: "Unknown" }),
  device: dimension("visit:device", "Device", "Devices", { empty: "Unknown" }),
  screen: dimension("visit:screen", "Screen size", "Screen sizes", { empty: "Unknown" }),
  browser: dimension("visit:browser", "Browser", "Browsers", { empty: "Unknown" }),
  browser_version: dimension("visit:browser_version", "Browser version", "Browser versions", { empty: "Unknown" }),
  os: dimension("visit:os", "Operating system", "Operating systems", { empty: "Unknown" }),
  os_version: dimension("visit:os_version", "System version", "System versions", { empty: "Unknown" }),
  goal: dimension("event:goal", "Goal", "Goals"),
} as const;

export type DimensionName = keyof typeof TABLE;

export const DIMENSION_NAMES = Object.keys(TABLE) as readonly DimensionName[];

const PROPERTY = "prop:";

/** The property's key, when the name is that of a property's dimension. */
export function propertyKey(name: string): string | null {
  return name.startsWith(PROPERTY) && name.length > PROPERTY.length ? name.slice(PROPERTY.length) : null;
}

/** The name of a property's dimension. */
export function propertyDimension(key: string): string {
  return PROPERTY + key;
}

/** Whether a name of a URL is a dimension's. */
export function isDimension(name: string): boolean {
  return Object.hasOwn(TABLE, name) || propertyKey(name) !== null;
}

/** The dimension of this name; a property's is made from its key. */
export function dimensionOf(name: string): Dimension {
  const key = propertyKey(name);
  if (key !== null) return dimension(`event:props:${key}`, key, key, { empty: "(none)" });
  return TABLE[name as DimensionName];
}

/** The API's name of a dimension. */
export function apiDimension(name: string): string {
  return dimensionOf(name).api;
}
