/**
 * The classic script under Plausible's names, for pages that named a Plausible of their own and now find Footfall there:
 * `/js/script.js` with its variants, and calls of `plausible(…)`.
 */

import "./plausible_variants";
import "./script";

import type { Track } from "./core";

declare global {
  interface Window {
    plausible?: Track & { q?: Parameters<Track>[] };
  }
}

const track = window.footfall!;
const stub = window.plausible;
window.plausible = track;
stub?.q?.forEach((call) => track(...call));
