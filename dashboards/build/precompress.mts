/** Writes `<asset>.br` and `<asset>.gz` beside each built asset: the server sends them as they are. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

import type { Plugin } from "vite";

/** Below this a compressed answer saves no packet. */
const SMALLEST_BYTES = 1000;

export function precompress(): Plugin {
  return {
    name: "footfall-precompress",
    apply: "build",
    // Only what was written is what browsers get: Vite fills in the names of chunks after every plugin has seen the bundle.
    writeBundle({ dir }, bundle) {
      for (const name of Object.keys(bundle)) {
        if (dir === undefined || !/\.(m?js|css)$/.test(name)) continue;
        const path = join(dir, name);
        const source = readFileSync(path);
        if (source.length < SMALLEST_BYTES) continue;
        const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: source.length };
        writeFileSync(`${path}.br`, brotliCompressSync(source, { params }));
        writeFileSync(`${path}.gz`, gzipSync(source, { level: 9 }));
      }
    },
  };
}
