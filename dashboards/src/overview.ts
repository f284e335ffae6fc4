/**
 * The page of all sites: each site's visitors of the last 24 hours and their course, put beside its name. Without this
 * script the page is a plain list of links.
 */

import "./styles/overview.css";
import { type Spark, SPARK_HEIGHT, SPARK_WIDTH, sparkPaths } from "./chart/spark";
import { numbers } from "./words/speech";

interface SiteFigures {
  readonly domain: string;
  /** Of the last 24 hours; null while the event store is away. */
  readonly visitors: number | null;
  /** Against the 24 hours before, in percent; null when nobody came then. */
  readonly change: number | null;
  /** Visitors by hour, the present one last. */
  readonly sparkline: readonly number[] | null;
}

const SVG = "http://www.w3.org/2000/svg";

function sparkline({ line, area }: Spark): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const [name, path] of [["area", area], ["line", line]] as const) {
    const element = document.createElementNS(SVG, "path");
    element.setAttribute("class", name);
    element.setAttribute("d", path);
    svg.append(element);
  }
  return svg;
}

function element(tag: string, className: string, text: string): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function show(card: HTMLElement, { visitors, change, sparkline: hours }: SiteFigures): void {
  if (visitors === null || hours === null) return;
  const figures = element("p", "spark-figures", "");
  const noun = visitors === 1 ? "visitor" : "visitors";
  figures.append(element("b", "", numbers.short(visitors, "count")), " ", element("span", "", `${noun} in 24 hours`));
  if (change !== null && change !== 0) {
    figures.append(element("span", change > 0 ? "up" : "down", `${change > 0 ? "↑" : "↓"} ${numbers.change(change)}`));
  }
  card.append(sparkline(sparkPaths(hours)), figures);
}

async function begin(): Promise<void> {
  const cards = [...document.querySelectorAll<HTMLElement>("[data-site]")];
  if (cards.length === 0) return;
  const answer = await fetch("/api/sites", { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(String(answer.status));
  const { sites } = (await answer.json()) as { sites: readonly SiteFigures[] };
  const known = new Map(sites.map((site) => [site.domain, site]));
  for (const card of cards) {
    const site = known.get(card.dataset["site"] ?? "");
    if (site) show(card, site);
  }
}

begin().catch(() => {
  const note = document.querySelector<HTMLElement>("[data-sites-note]");
  if (note) note.textContent = "The figures cannot be shown at the moment; the sites are there all the same.";
});
