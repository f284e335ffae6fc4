/**
 * The map of countries, made when the dashboard is built: `import world from "virtual:world-map"`.
 *
 * From Natural Earth's 1:50 m borders (the package world-atlas): simplified together, so that neighbours keep sharing their
 * border; projected by Equal Earth, in which areas compare; written as SVG paths of whole units. Territories too small for
 * the simplified map become a dot, so that every country that is counted can be seen.
 */

import { createRequire } from "node:module";

import { geoEqualEarth, geoPath } from "d3-geo";
import type { Feature, Geometry } from "geojson";
import { feature } from "topojson-client";
import { presimplify, quantile, simplify, sphericalTriangleArea } from "topojson-simplify";
import type { GeometryCollection, Topology } from "topojson-specification";
import type { Plugin } from "vite";

const require = createRequire(import.meta.url);

const WIDTH = 1000;
const HEIGHT = 460;

/** Share of the border points that are kept: what a map some 500 px wide can show. */
const KEPT = 0.16;

/** A territory under so many square units is a dot of this radius: it can be pointed at. */
const SMALLEST_AREA = 6;
const DOT_RADIUS = 3;

/** Nobody is counted in Antarctica, and it takes a quarter of the map. */
const LEFT_OUT = new Set(["AQ"]);

/** Areas without a number of ISO 3166 in Natural Earth: the country that address tables put them under. */
const BY_NAME: Readonly<Record<string, string>> = { Kosovo: "XK", "N. Cyprus": "CY", Somaliland: "SO" };

type Countries = GeometryCollection<{ name: string }>;

interface WorldMap {
  readonly width: number;
  readonly height: number;
  /** Country by its two letters, and its path. */
  readonly countries: readonly (readonly [string, string])[];
}

function makeWorldMap(): WorldMap {
  const topology = require("world-atlas/countries-50m.json") as Topology<{ countries: Countries }>;
  const { numericToAlpha2 } = require("i18n-iso-countries") as { numericToAlpha2: (code: string) => string | undefined };
  const weighted = presimplify(topology, sphericalTriangleArea);
  const simple = simplify(weighted, quantile(weighted, KEPT));
  const shapes = feature(simple, simple.objects.countries);
  const whole = feature(topology, topology.objects.countries).features;
  const shown = { type: "FeatureCollection", features: whole.filter((each) => codeOf(each, numericToAlpha2) !== null) };
  const projection = geoEqualEarth().rotate([-11, 0]).fitSize([WIDTH, HEIGHT], shown as never);
  const draw = geoPath(projection).digits(0);

  const paths = new Map<string, string>();
  shapes.features.forEach((shape, at) => {
    const code = codeOf(shape, numericToAlpha2);
    if (code === null) return;
    const exact = whole[at] as Feature<Geometry>;
    const isSmall = draw.area(exact) < SMALLEST_AREA;
    const path = isSmall ? dot(draw.centroid(exact)) : tidy(draw(shape) ?? "");
    paths.set(code, (paths.get(code) ?? "") + path);
  });
  return { width: WIDTH, height: HEIGHT, countries: [...paths].sort(([a], [b]) => a.localeCompare(b)) };
}

function codeOf(shape: Feature<Geometry, { name: string }>, toAlpha2: (code: string) => string | undefined): string | null {
  const code = shape.id === undefined ? BY_NAME[shape.properties.name] : toAlpha2(String(shape.id));
  return code === undefined || LEFT_OUT.has(code) ? null : code;
}

function dot([x, y]: [number, number]): string {
  const r = DOT_RADIUS;
  return `M${Math.round(x) - r},${Math.round(y)}a${r},${r} 0 1 0 ${2 * r},0a${r},${r} 0 1 0 ${-2 * r},0Z`;
}

/** In relative steps, without steps that lead nowhere, and without rings that have become a point or a line. */
function tidy(path: string): string {
  return path
    .split(/(?=M)/)
    .map((ring) => {
      const points = ring
        .replace(/[MZ]/g, "")
        .split("L")
        .map((point) => point.split(",").map(Number) as [number, number]);
      const steps: string[] = [];
      let [x, y] = points[0] as [number, number];
      for (const [toX, toY] of points.slice(1)) {
        if (toX !== x || toY !== y) steps.push(`${toX - x}${toY - y < 0 ? "" : ","}${toY - y}`);
        [x, y] = [toX, toY];
      }
      return steps.length < 3 ? "" : `M${points[0]}l${steps.join(" ").replaceAll(" -", "-")}z`;
    })
    .join("");
}

/** For vite.config.ts. */
export function worldMap(): Plugin {
  const name = "virtual:world-map";
  const resolved = `\0${name}`;
  return {
    name: "footfall-world-map",
    resolveId: (id) => (id === name ? resolved : undefined),
    load: (id) => (id === resolved ? `export default ${JSON.stringify(makeWorldMap())}` : undefined),
  };
}
