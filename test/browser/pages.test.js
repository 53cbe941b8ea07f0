// Opens the pages of a running nines as a person would, and compares what is to
// be read there with what the API answers.
//
//   NINES_URL=http://127.0.0.1:9999 SCREENSHOT_DIR=docs/img npm test
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { api, assertFits, base, LAPTOP, PHONE, shoot, text, until, withPage } from "./nines.js";

const skip = base ? false : "NINES_URL names no running nines";

let overview;
let objective;
let group;
let host;

before(async () => {
  if (skip) return;
  // A fresh nines needs some seconds to its first decided slot.
  overview = await until(
    "an objective with data",
    async () => {
      const o = await api("/api/nines/v1/overview");
      return o.objectives.some((x) => x.groups.some((g) => g.total > 0)) && o.regions.length > 0 ? o : null;
    },
    120_000,
  );
  const withData = overview.objectives.filter((x) => x.groups.some((g) => g.total > 0));
  objective = withData.find((x) => x.kind === "latency") ?? withData[0];
  group = objective.groups.find((g) => g.total > 0);
  host = (await api("/api/nines/v1/hosts"))[0].host;
});

/** "12,345 of 12,400" and the like: the integers in a text. */
const integers = (s) => [...s.matchAll(/\d[\d,]*/g)].map((m) => Number(m[0].replaceAll(",", "")));

/** Runs `check` against fresh answers of the API until it holds: both move. */
async function agree(what, check) {
  let why;
  await until(what, async () => {
    try {
      await check();
      return true;
    } catch (e) {
      why = e;
      return false;
    }
  }).catch((e) => {
    throw why ?? e;
  });
}

test("the overview shows what the API says", { skip }, async () => {
  await withPage({ viewport: LAPTOP }, async (page) => {
    await page.goto(base + "/");
    await page.locator(".live.live").waitFor();
    assert.equal(await page.title().then((t) => t.replace(/^\(\d+\) /, "")), "nines");
    await agree("objectives, regions, hosts and counts", async () => {
      const o = await api("/api/nines/v1/overview");
      for (const x of o.objectives) {
        const block = page.locator(`tbody[data-objective="${x.name}"]`);
        const head = await text(block.locator("tr.head"));
        assert.ok(head.includes(x.display_name || x.name), `${x.name}: ${head}`);
        assert.ok(head.includes(x.target_pct + " %"), `${x.name}: ${head}`);
        for (const g of x.groups.slice(0, 8)) {
          const row = await text(block.locator(`tr:has(a[href$="group=${g.id}"])`));
          for (const v of Object.values(g.labels)) assert.ok(row.includes(v), `${x.name}: ${row}`);
          assert.ok(row.includes(g.attainment_pct ? g.attainment_pct + " %" : "–"), `${x.name}: ${row}, API ${g.attainment_pct}`);
        }
      }
      const shown = await text(page.locator("main"));
      for (const r of o.regions) assert.ok(shown.includes(r.name), `region ${r.name}`);
      for (const h of await api("/api/nines/v1/hosts")) assert.ok(shown.includes(h.host), `host ${h.host}`);
      assert.equal(integers(await text(page.locator("#figure-pages")))[0], o.alerts.page);
      const [met, decided] = integers(await text(page.locator("#figure-met")));
      assert.equal(met, o.objectives.reduce((n, x) => n + x.groups_met, 0));
      assert.equal(decided, o.objectives.reduce((n, x) => n + x.groups_decided, 0));
    });
    const alerts = (await api("/api/nines/v1/alerts")).filter((a) => a.status === "firing");
    for (const a of alerts) await page.locator(".alerts strong", { hasText: a.labels.alertname }).first().waitFor();
    await assertFits(page);
    await shoot(page, "overview");
  });
});

test("log time moves while one looks", { skip }, async () => {
  await withPage({}, async (page) => {
    await page.goto(base + "/");
    const clock = page.locator(".live time");
    const first = await clock.getAttribute("datetime");
    await until("a later log time", async () => (await clock.getAttribute("datetime")) > first);
  });
});

test("an objective shows slots, percentiles and budget", { skip }, async () => {
  await withPage({ viewport: { ...LAPTOP, height: 1090 } }, async (page) => {
    await page.goto(base + "/");
    await page.locator(`tbody[data-objective="${objective.name}"] a[href$="group=${group.id}"]`).click();
    await page.locator("h1", { hasText: objective.display_name || objective.name }).waitFor();
    await agree("attainment and its events", async () => {
      const o = await api("/api/nines/v1/objectives/" + encodeURIComponent(objective.name));
      const g = o.groups.find((x) => x.id === group.id);
      assert.equal(await text(page.locator("#attainment")), g.attainment_pct + " %");
      const said = integers(await text(page.locator("#attainment + p")));
      assert.deepEqual(said.slice(0, 2), [g.attainment.num, g.attainment.den]);
    });
    await page.getByRole("button", { name: "1 h", exact: true }).click();
    await agree("the strip's legend", async () => {
      const to = (await api("/api/nines/v1/overview")).log_time;
      const { slots } = await api(`/api/nines/v1/slots?group=${group.id}&from=${to - 3_600_000}&to=${to}`);
      const legend = await text(page.getByRole("list", { name: "Legend" }));
      for (const state of ["good", "bad", "unknown", "open"]) {
        const n = slots.filter((s) => s.s === state).length;
        assert.ok(legend.includes(`${state} ${n}`), `${legend}; the API has ${n} ${state}`);
      }
    });
    const strip = page.getByRole("slider", { name: /^Slots/ });
    await strip.focus();
    await strip.press("End");
    assert.match(await strip.getAttribute("aria-valuetext"), /\d\d:\d\d to \d\d:\d\d, /);
    await strip.press("Escape");
    if (objective.kind === "latency") {
      const plot = page.getByRole("img", { name: /^Latency percentiles, newest values: p50 / });
      await plot.waitFor();
      assert.match(await plot.getAttribute("aria-label"), /p50 [\d.]+\s(µs|ms|s), p95 .*, p99 /u);
    }
    await page.getByRole("img", { name: /^Error budget left, newest values: / }).waitFor();
    const rows = page.locator("section", { hasText: "Burn rates" }).locator("tbody tr");
    assert.equal(await rows.count(), group.burn.length);
    await assertFits(page);
    await page.locator("h1").click();
    await shoot(page, "objective");
  });
});

test("a host shows its metrics and probes, live", { skip }, async () => {
  await withPage({ viewport: { ...LAPTOP, height: 1190 } }, async (page) => {
    await page.goto(base + "/");
    await page.getByRole("link", { name: host, exact: true }).first().click();
    await page.locator("h1", { hasText: host }).waitFor();
    await page.getByRole("button", { name: "5 min", exact: true }).click();
    for (const title of ["CPU", "Memory used", "Disk used", "Network", "Load average", "Probe latency", "Probe availability"]) {
      await page.getByRole("img", { name: new RegExp(`^${title}, newest values: `) }).waitFor({ timeout: 60_000 });
    }
    const cpu = page.getByRole("img", { name: /^CPU, newest values: / });
    const busy = Number(/busy ([\d.]+)/.exec(await cpu.getAttribute("aria-label"))[1]);
    assert.ok(busy >= 0 && busy <= 100, `CPU ${busy} %`);
    await agree("memory as the Prometheus API has it", async () => {
      const query = encodeURIComponent(`mem_used_percent{host="${host}"}`);
      const answer = await api("/api/v1/query?query=" + query);
      const want = Number(answer.data.result[0].value[1]);
      const label = await page.getByRole("img", { name: /^Memory used, newest values: / }).getAttribute("aria-label");
      const shown = Number(/used ([\d.]+)/.exec(label)[1]);
      assert.ok(Math.abs(shown - want) < 5, `shown ${shown} %, API ${want} %`);
    });
    const rows = (await api("/api/nines/v1/hosts")).filter((h) => h.host === host);
    const facts = await text(page.locator("dl.facts"));
    assert.ok(facts.includes(rows[0].agent), facts);
    await assertFits(page);
    await shoot(page, "host");
  });
});

test("contracts show what their statements say", { skip }, async () => {
  await withPage({}, async (page) => {
    await page.goto(base + "/");
    await page.getByRole("link", { name: "Contracts", exact: true }).click();
    await page.locator("h1", { hasText: "Contracts" }).waitFor();
    const contracts = await api("/api/nines/v1/contracts");
    if (contracts.length === 0) {
      await page.getByText("No contracts are in force").waitFor();
      return;
    }
    await page.locator("[data-contract] [data-figure]").first().waitFor({ timeout: 60_000 });
    for (const c of contracts.slice(0, 3)) {
      const panel = page.locator(`[data-contract="${c.name}"]`);
      await panel.locator("[data-figure=credit]").waitFor({ timeout: 60_000 });
      await agree(`the figures of ${c.name}`, async () => {
        await page.reload(); // they are asked for once a minute, and move meanwhile
        await panel.locator("[data-figure=credit]").waitFor({ timeout: 60_000 });
        const s = await api("/api/nines/v1/statement?contract=" + encodeURIComponent(c.name));
        const shown = async (figure) => text(panel.locator(`[data-figure=${figure}]`));
        assert.equal(await shown("credit"), `${s.credit.amount} ${s.credit.currency}`);
        assert.equal(await shown("risk"), `${s.bounds.credit_high} ${s.credit.currency}`);
        const coverage = Number(/^[\d.]+/.exec(await shown("coverage"))?.[0] ?? NaN);
        assert.ok(s.coverage_pct === "" || Math.abs(coverage - Number(s.coverage_pct)) < 0.01, `${coverage} % shown, ${s.coverage_pct} in the statement`);
        assert.ok((await text(panel)).includes(c.customer), c.customer);
        const standing = await api("/api/nines/v1/contracts/" + encodeURIComponent(c.name));
        assert.equal(await panel.getByRole("list", { name: "Legend" }).count(), standing.strips.length);
      });
      const answer = await page.request.get(base + (await panel.getByRole("link", { name: "statement (JSON)" }).getAttribute("href")));
      assert.equal((await answer.json()).contract, c.name);
    }
    if (contracts.length > 1) {
      await page.getByRole("searchbox").fill(contracts[1].name);
      await until("one contract by its name", async () => (await page.locator("[data-contract]").count()) >= 1 && (await page.locator(`[data-contract="${contracts[1].name}"]`).count()) === 1);
      await page.getByRole("searchbox").fill("no such contract");
      await page.getByText("No contract matches").waitFor();
      await page.getByRole("searchbox").fill("");
      await page.getByText("Settling…").first().waitFor({ state: "detached", timeout: 60_000 });
      await page.locator("h1").click();
    }
    await assertFits(page);
    await shoot(page, "contracts");
  });
});

test("the mesh shows its zones and a pair's figures, or says how to have one", { skip }, async () => {
  await withPage({ viewport: LAPTOP }, async (page) => {
    await page.goto(base + "/#/mesh");
    const m = await api("/api/nines/v1/mesh");
    if (m.zones.length === 0) {
      await page.locator(".empty", { hasText: "agent.yaml" }).waitFor();
    } else {
      await page.locator("canvas").waitFor();
      await page.locator(".canvas").focus();
      await page.keyboard.press("ArrowDown");
      const first = m.zones[0].zone;
      assert.ok((await text(page.locator(".details"))).startsWith(`${first} → ${first}`));
      for (const z of m.zones) assert.ok((await text(page.locator("select"))).includes(z.zone), z.zone);
    }
    await assertFits(page);
    await shoot(page, "mesh");
  });
});

test("the pipeline shows every loop that reads the log, and what could not be used", { skip }, async () => {
  await withPage({}, async (page) => {
    await page.goto(base + "/");
    await page.getByRole("link", { name: "Pipeline", exact: true }).click();
    await page.locator("h1", { hasText: "Pipeline" }).waitFor();
    await page.locator("[data-loop]").first().waitFor();
    const { loops, letters } = await api("/api/nines/v1/pipeline");
    assert.ok(loops.some((l) => l.role === "aggregate") && loops.some((l) => l.role === "evaluate"), JSON.stringify(loops));
    for (const l of loops) {
      const row = page.locator(`[data-loop="${l.role} ${l.topic}/${l.partition}"]`);
      await row.waitFor();
      await until(`${l.role} has a lag`, async () => /^[\d.,]+\ss$/.test(await text(row.locator('[data-label="Behind"]'))));
      assert.match(await text(row.locator('[data-label="Saturation"]')), /%/);
    }
    if (letters.length === 0) await page.getByText("Every record could be used").waitFor();
    else await page.locator(`[data-letter="${letters[0].letter}"]`).waitFor();
    await assertFits(page);
    await shoot(page, "pipeline");
  });
});

for (const [name, options] of [
  ["dark", { viewport: LAPTOP, dark: true }],
  ["phone", { viewport: PHONE, touch: true }],
  ["phone-dark", { viewport: PHONE, touch: true, dark: true }],
]) {
  test(`every page fits and reads well: ${name}`, { skip }, async () => {
    await withPage(options, async (page) => {
      for (const [what, hash, ready] of [
        ["overview", "#/", "tbody[data-objective]"],
        ["objective", `#/objective/${encodeURIComponent(objective.name)}?group=${group.id}`, "[role=slider]"],
        ["host", `#/host/${encodeURIComponent(host)}`, "[data-panel] canvas"],
        ["mesh", "#/mesh", ".map, .empty"],
        ["pipeline", "#/pipeline", "[data-loop]"],
        ["contracts", "#/contracts", (await api("/api/nines/v1/contracts")).length > 0 ? "[data-figure]" : ".empty"],
      ]) {
        await page.goto(base + "/" + hash);
        await page.locator(ready).first().waitFor();
        await assertFits(page);
        await assertContrast(page);
        await shoot(page, `${what}-${name}`, { fullPage: name.startsWith("phone") });
      }
    });
  });
}

/** Every text has a contrast of 4.5 to what lies behind it (WCAG 2.1, AA). */
async function assertContrast(page) {
  const faint = await page.evaluate(() => {
    const rgb = (s) => (s.match(/[\d.]+/g) ?? []).map(Number);
    const luminance = ([r, g, b]) =>
      [r, g, b].map((v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((n, v, i) => n + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (e) => {
      for (; e; e = e.parentElement) {
        const c = rgb(getComputedStyle(e).backgroundColor);
        if (c.length === 3 || c[3] > 0.99) return c;
      }
      return [255, 255, 255];
    };
    const out = [];
    for (const e of document.querySelectorAll("main *, header *, footer *")) {
      const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim() !== "");
      if (!own || !e.checkVisibility() || e.closest(".sr, svg, option, select")) continue;
      const a = luminance(rgb(getComputedStyle(e).color));
      const b = luminance(behind(e));
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (ratio < 4.5) out.push(`${ratio.toFixed(2)} ${e.className} ${e.textContent.trim().slice(0, 40)}`);
    }
    return [...new Set(out)];
  });
  assert.deepEqual(faint, [], "texts too faint to read");
}

test("the theme can be switched and is remembered", { skip }, async () => {
  await withPage({}, async (page) => {
    await page.goto(base + "/");
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    await page.getByRole("button", { name: "Switch to the dark theme" }).click();
    const dark = await background();
    assert.notEqual(dark, light);
    await page.reload();
    await page.getByRole("button", { name: "Switch to the light theme" }).waitFor();
    assert.equal(await background(), dark);
  });
});

test("a lost connection is said, and mended", { skip }, async () => {
  await withPage({ expected: /ERR_FAILED/ }, async (page) => {
    await page.route("**/api/nines/v1/events", (route) => route.abort("failed"));
    await page.goto(base + "/");
    const banner = page.getByRole("alert");
    await banner.waitFor();
    assert.match(await text(banner), /^Disconnected since \d\d:\d\d:\d\d\./);
    await page.unroute("**/api/nines/v1/events");
    await banner.waitFor({ state: "detached" });
    await page.locator(".live.live").waitFor();
  });
});

test("a page without data or sense says what to do", { skip }, async () => {
  await withPage({}, async (page) => {
    await page.goto(base + "/#/objective/no-such-objective");
    await page.getByText("There is no objective of this name").waitFor();
    await page.goto(base + "/#/nonsense");
    await page.getByText("Nothing here").waitFor();
  });
});

test("everything is reached by keyboard", { skip }, async () => {
  await withPage({}, async (page) => {
    await page.goto(base + "/");
    await page.locator("tbody[data-objective] a").first().waitFor();
    const reached = new Set();
    for (let i = 0; i < 12; i++) {
      await page.keyboard.press("Tab");
      reached.add(await page.evaluate(() => document.activeElement?.getAttribute("href") ?? document.activeElement?.getAttribute("aria-label")));
    }
    assert.ok(reached.has("#/"), "home");
    assert.ok([...reached].some((r) => r?.startsWith("#/objective/")), "objectives");
    await page.keyboard.press("Shift+Tab");
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, "none", "focus is visible");
  });
});
