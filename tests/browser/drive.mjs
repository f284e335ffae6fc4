// Drives headless Chromium through one visit and prints what happened as one JSON line.
//
// usage: node drive.mjs JOB   where JOB is JSON:
//   {"executable": path, "userAgent": string, "screenshots": folder|null, "steps": [
//     {"goto": url}, {"click": selector}, {"evaluate": expression}, {"wait_ms": n},
//     {"wait_requests": n}          until n hits have been answered,
//     {"screenshot": file name}, {"viewport": [width, height]}, {"hide": true}   (another tab comes to the front)
//   ]}
// printed: {"answers": [{url, method, status, posted, body}], "errors": [page errors and failed requests]}, as they were after
// the last step: what closing the browser cuts off is no failure of the page.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const HIT_PATHS = ["/api/event", "/api/send", "/api/batch", "/hit.gif"];
const STEP_TIMEOUT_MS = 30_000;
// Nothing here may look for Google's hosts: the machine may have no network but loopback.
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const job = JSON.parse(process.argv[2]);
const profile = mkdtempSync(join(tmpdir(), "footfall-browser-"));
const answers = [];
const errors = [];
let seen;

const context = await chromium.launchPersistentContext(profile, {
  executablePath: job.executable,
  headless: true,
  args: ARGUMENTS,
  userAgent: job.userAgent,
});
try {
  // The trackers ignore automated browsers; here one stands in for a person.
  await context.addInitScript(() => {
    Object.defineProperty(Navigator.prototype, "webdriver", { get: () => false });
  });
  const page = context.pages()[0] ?? (await context.newPage());
  page.on("pageerror", (error) => errors.push(`page: ${error.message}`));
  page.on("console", (message) => message.type() === "error" && errors.push(`console: ${message.text()}`));
  context.on("requestfailed", (request) => errors.push(`request: ${request.url()} ${request.failure()?.errorText}`));
  context.on("response", async (response) => {
    const request = response.request();
    if (!HIT_PATHS.includes(new URL(request.url()).pathname) || request.method() === "OPTIONS") return;
    const answer = { url: request.url(), method: request.method(), status: response.status(), posted: request.postData() };
    // The page may be gone before its last answer is read; then the status is all there is.
    answer.body = await response.text().catch(() => null);
    answers.push(answer);
  });
  for (const step of job.steps) await take(page, step);
  seen = JSON.stringify({ answers, errors });
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
console.log(seen);

async function take(page, step) {
  if ("goto" in step) await page.goto(step.goto, { timeout: STEP_TIMEOUT_MS, waitUntil: "load" });
  else if ("click" in step) await page.click(step.click, { timeout: STEP_TIMEOUT_MS });
  else if ("evaluate" in step) await page.evaluate(step.evaluate);
  else if ("wait_ms" in step) await page.waitForTimeout(step.wait_ms);
  else if ("viewport" in step) await page.setViewportSize({ width: step.viewport[0], height: step.viewport[1] });
  else if ("screenshot" in step) await page.screenshot({ path: join(job.screenshots, step.screenshot), fullPage: true });
  else if ("hide" in step) await (await context.newPage()).bringToFront();
  else if ("wait_requests" in step) {
    const deadline = Date.now() + STEP_TIMEOUT_MS;
    while (answers.length < step.wait_requests) {
      if (Date.now() > deadline) throw new Error(`${answers.length} of ${step.wait_requests} hits were answered`);
      await page.waitForTimeout(50);
    }
  } else throw new Error(`unknown step ${JSON.stringify(step)}`);
}
