/**
 * `npm run build` makes the dashboard's scripts and styles in server/pages/built, from where server/pages/dashboard.py sends
 * them; `manifest.json` there says which hashed name belongs to which entry. `npm test` runs the tests beside this file.
 */

import { fileURLToPath } from "node:url";

import { defineConfig } from "vitest/config";

import { precompress } from "./build/precompress.mts";
import { worldMap } from "./build/world_map.mts";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

export default defineConfig({
  root: path("."),
  base: "/assets/built/",
  plugins: [worldMap(), precompress()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2022",
    // The first that know light-dark(), by which each colour is given once; older ones get the light colours.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    outDir: path("../server/pages/built"),
    emptyOutDir: true,
    assetsDir: "",
    // Data addresses in styles would need an exception in the Content-Security-Policy.
    assetsInlineLimit: 0,
    // An older browser loads modules one after the other, a little later; the polyfill costs every browser.
    modulePreload: { polyfill: false },
    manifest: "manifest.json",
    rolldownOptions: {
      input: { dashboard: path("src/dashboard.tsx"), overview: path("src/overview.ts") },
      output: {
        hashCharacters: "hex",
        entryFileNames: "[name].[hash:12].js",
        chunkFileNames: "[name].[hash:12].js",
        assetFileNames: "[name].[hash:12][extname]",
      },
    },
  },
  test: { include: ["tests/**/*.test.ts"] },
});
