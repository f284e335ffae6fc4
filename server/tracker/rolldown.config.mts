/**
 * `npm run build:tracker` makes in `built/`, from where server/pages/tracker_script.py sends them, each also as `.br` and `.gz`:
 *
 * | file | what |
 * |---|---|
 * | `footfall.js` | the core, a classic script |
 * | `footfall.more.js` | what the core loads after the page's `load` |
 * | `footfall.mjs` | all of it as a module |
 * | `footfall.plausible.js` | the core under Plausible's names |
 */

import { fileURLToPath } from "node:url";

import { defineConfig } from "rolldown";

import { precompress } from "../../dashboards/build/precompress.mts";
import { leanWebVitals } from "./build/lean_web_vitals.mts";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** The core also counts in browsers that are too old for what measures speed; those of 2020 and later. */
const BUILT: readonly (readonly [file: string, source: string, format: "iife" | "esm", target: string])[] = [
  ["footfall.js", "script.ts", "iife", "es2020"],
  ["footfall.more.js", "script_rest.ts", "iife", "es2022"],
  ["footfall.mjs", "module.ts", "esm", "es2022"],
  ["footfall.plausible.js", "script_plausible.ts", "iife", "es2020"],
];

export default defineConfig(
  BUILT.map(([file, source, format, target]) => ({
    input: path(`src/${source}`),
    plugins: [leanWebVitals(), precompress()],
    treeshake: { moduleSideEffects: (id: string) => !id.includes("/web-vitals/") },
    transform: { target },
    output: { dir: path("built"), entryFileNames: file, format, minify: true, comments: false },
  })),
);
