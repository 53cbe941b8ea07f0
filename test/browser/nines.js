// What the browser tests share: Debian's Chromium, headless, watched so that a
// request to another origin or an error on the console fails the test.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const base = (process.env.NINES_URL ?? "").replace(/\/+$/, "");
const shots = process.env.SCREENSHOT_DIR ?? "";

export const LAPTOP = { width: 1280, height: 860 };
export const PHONE = { width: 390, height: 844 };

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Reads JSON from the API, as a program would. */
export async function api(path) {
  const answer = await fetch(base + path);
  assert.equal(answer.status, 200, `GET ${path}`);
  return answer.json();
}

/** Asks until `read` gives something; the answer of the last try in the error. */
export async function until(what, read, ms = 30_000) {
  const end = Date.now() + ms;
  let last;
  for (;;) {
    last = await read();
    if (last) return last;
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/**
 * Opens a page, hands it to `use` and checks afterwards that it was quiet: no
 * other origin, nothing on the console, no failed request, save what matches
 * `expected`.
 */
export async function withPage({ viewport = LAPTOP, dark = false, touch = false, expected = null } = {}, use) {
  const profile = mkdtempSync(join(tmpdir(), "nines-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: FLAGS,
    viewport,
    hasTouch: touch,
    deviceScaleFactor: 2,
    colorScheme: dark ? "dark" : "light",
    reducedMotion: "reduce",
    locale: "en-GB",
    timezoneId: "UTC",
  });
  const trouble = [];
  try {
    const page = await context.newPage();
    page.on("request", (r) => {
      const url = new URL(r.url());
      if (url.protocol !== "data:" && url.origin !== new URL(base).origin) trouble.push(`request to ${r.url()}`);
    });
    page.on("console", (m) => {
      if (m.type() === "error" || m.type() === "warning") trouble.push(`console ${m.type()}: ${m.text()}`);
    });
    page.on("pageerror", (e) => trouble.push(`uncaught: ${e.stack ?? e.message}`));
    page.on("response", (r) => {
      if (r.status() >= 400) trouble.push(`status ${r.status()} for ${r.url()}`);
    });
    await use(page, context);
    assert.deepEqual(expected ? trouble.filter((t) => !expected.test(t)) : trouble, [], "the page was not quiet");
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Saves a picture for the documentation, where a folder is named. */
export async function shoot(page, name, options = {}) {
  if (!shots) return;
  mkdirSync(shots, { recursive: true });
  await page.mouse.move(0, 0);
  await page.screenshot({ path: join(shots, name + ".png"), scale: "css", ...options });
}

/** No part of the page is wider than the window. */
export async function assertFits(page) {
  const wide = await page.evaluate(() => {
    const limit = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= limit) return [];
    return [...document.querySelectorAll("body *")]
      .filter((e) => e.getBoundingClientRect().right > limit + 1)
      .slice(0, 5)
      .map((e) => e.outerHTML.slice(0, 120));
  });
  assert.deepEqual(wide, [], "the page scrolls sideways");
}

/** What a person reads, with plain spaces. */
export async function text(locator) {
  return (await locator.innerText()).replace(/[\u00a0\s]+/g, " ").trim();
}
