/** The classic script: `<script defer data-domain="example.com" src="…/js/footfall.js"></script>`. */

import { start, type Track } from "./core";

declare global {
  interface Window {
    /** The script, or before it is there the page's own stub, which keeps the calls in `q`. */
    footfall?: Track & { q?: Parameters<Track>[] };
  }
}

const script = document.currentScript as HTMLScriptElement;
const stub = window.footfall;

// The page may name the script twice, and a proxy that drops the query sends it in place of the part after `load`.
if (!stub?.x) {
  const track = (window.footfall = start(
    script.dataset,
    new URL(script.dataset.api || "/api/event", script.src).href,
    () => {
      const rest = document.createElement("script");
      rest.nonce = script.nonce;
      rest.src = script.src + "?more";
      document.head.append(rest);
    },
  ));
  stub?.q?.forEach((call) => track(...call));
}
