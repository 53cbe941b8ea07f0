import { describe, expect, test } from "vitest";
import { bounds, cell, colours, coverage, entries, figures, indexAt, layout, legend, lossText, move, row, sentence, short, spans, step, wantsDarkText, worst, type Measure } from "./mesh";
import type { Mesh } from "./types";

const zones = [
  { region: "ap", zone: "ap-a" },
  { region: "ap", zone: "ap-b" },
  { region: "eu", zone: "eu-a" },
];

/** eu-a answers nobody, and ap-b measures nothing. */
const mesh: Mesh = {
  from: 0,
  rtt_from: 0,
  to: 1,
  loss_objective: "mesh-loss",
  rtt_objective: "mesh-rtt",
  zones,
  n: [[60, 60, 60], [0, 0, 0], [60, 40, 60]],
  lost: [[0, 6, 60], [0, 0, 0], [0, 1, 0]],
  loss: [[0, 0.1, 1], [null, null, null], [0, 0.025, 0]],
  p50: [[0.0003, 0.0006, null], [null, null, null], [0.1, 0.11, 0.0003]],
  p95: [[0.0004, 0.0007, null], [null, null, null], [0.11, 0.12, 0.0004]],
  p99: [[0.0005, 0.0008, null], [null, null, null], [0.12, 0.3, 0.0005]],
};

const all = entries(zones, () => true);
const closed = entries(zones, (r) => r !== "ap");
const at = (list: typeof all, i: number) => list[i] ?? { region: "", zone: "", at: [] };

describe("rows and columns", () => {
  test("opened regions are zones, others one row", () => {
    expect(all.map((e) => e.zone)).toEqual(["ap-a", "ap-b", "eu-a"]);
    expect(closed).toEqual([
      { region: "ap", zone: "", at: [0, 1] },
      { region: "eu", zone: "eu-a", at: [2] },
    ]);
    expect(entries([], () => true)).toEqual([]);
  });
  test("a gap lies between regions, and every cell is found where it is drawn", () => {
    const l = layout(all, 62);
    expect(l).toEqual({ size: 20, begin: [0, 20, 42], length: 62 });
    expect([0, 19.9, 20, 40.5, 42, 61.9, 62, -1].map((x) => indexAt(l, x))).toEqual([0, 0, 1, -1, 2, 2, -1, -1]);
    expect(spans(all, l)).toEqual([
      { region: "ap", first: 0, last: 1, from: 0, to: 40 },
      { region: "eu", first: 2, last: 2, from: 42, to: 62 },
    ]);
    expect(layout(all, 1).size).toBe(11);
  });
  test("keys move by cell and by region, and stop at the edges", () => {
    const s = spans(all, layout(all, 60));
    const go = (key: string, row: number, column: number) => {
      const m = move(key, { row, column }, 3, s);
      return [m.row, m.column];
    };
    expect(go("ArrowRight", 0, 2)).toEqual([0, 2]);
    expect(go("ArrowDown", 0, 2)).toEqual([1, 2]);
    expect(go("PageDown", 1, 0)).toEqual([2, 0]);
    expect(go("PageUp", 2, 0)).toEqual([0, 0]);
    expect(go("PageDown", 2, 0)).toEqual([2, 0]);
    expect(go("End", 1, 0)).toEqual([1, 2]);
    expect(go("x", 1, 1)).toEqual([1, 1]);
  });
});

describe("what a cell says", () => {
  test("nobody measured, all lost, and a number are three things", () => {
    expect(cell(figures(mesh, at(all, 1), at(all, 0)), "p50")).toEqual({ is: "none" });
    expect(cell(figures(mesh, at(all, 0), at(all, 2)), "p50")).toEqual({ is: "lost" });
    expect(cell(figures(mesh, at(all, 0), at(all, 2)), "loss")).toEqual({ is: "lost" });
    expect(cell(figures(mesh, at(all, 0), at(all, 0)), "loss")).toEqual({ is: "value", value: 0 });
  });
  test("a region is its packets together and its worst pair", () => {
    expect(figures(mesh, at(closed, 0), at(closed, 0))).toEqual({ n: 120, lost: 6, gone: 0, loss: 0.05, p50: 0.0006, p95: 0.0007, p99: 0.0008 });
    expect(figures(mesh, at(closed, 1), at(closed, 0))).toMatchObject({ n: 100, lost: 1, p99: 0.3 });
  });
  test("in words", () => {
    expect(sentence(figures(mesh, at(all, 1), at(all, 0)), false)).toBe("not measured");
    expect(sentence(figures(mesh, at(all, 0), at(all, 2)), false)).toBe("no packet was answered; 100\u00a0% lost, 60 of 60");
    expect(sentence(figures(mesh, at(all, 2), at(all, 0)), false)).toBe("median 100\u00a0ms, 95 % within 110\u00a0ms, 99 % within 120\u00a0ms; no packet lost of 60");
    expect(sentence(figures(mesh, at(closed, 1), at(closed, 0)), true)).toContain("worst pair: ");
    const whole = { region: "", zone: "", at: [0, 1, 2] };
    expect(sentence(figures(mesh, whole, whole), true)).toContain("; 1 of its pairs without any answer");
  });
  test.each([
    [0, "0\u00a0%"],
    [1, "100\u00a0%"],
    [0.00001, "< 0.01\u00a0%"],
    [0.999999, "99.99\u00a0%"],
    [0.0123, "1.23\u00a0%"],
    [NaN, "–"],
  ])("a loss of %s is %s", (share, want) => expect(lossText(share)).toBe(want));
  test.each([
    ["loss", 0, "0"],
    ["loss", 0.0004, "<.1"],
    ["loss", 1, "100"],
    ["p50", 0.0003, "0.3"],
    ["p99", 0.25, "250"],
  ] as [Measure, number, string][])("%s %s in a cell is %s", (measure, v, want) => expect(short(measure, v)).toBe(want));
});

describe("colours", () => {
  test("no loss is a colour of its own, and bounds belong to the lower one", () => {
    expect(step("loss", 0)).toBe(0);
    expect(step("loss", 1e-9)).toBe(1);
    expect(step("p50", 0.0005)).toBe(0);
    expect(step("p50", 0.4)).toBe(bounds("p50").length - 1);
    expect(step("p50", 0.9)).toBe(bounds("p50").length);
  });
  test.each(["p50", "loss"] as Measure[])("%s has a legend entry and a colour for each step, told apart by lightness alone", (measure) => {
    for (const dark of [false, true]) {
      const c = colours(measure, dark);
      expect(c.length).toBe(legend(measure).length);
      const light = c.map((x) => {
        const [r = 0, g = 0, b = 0] = (x.match(/\d+/g) ?? []).map(Number);
        return 0.299 * r + 0.587 * g + 0.114 * b;
      });
      light.slice(1).forEach((v, i) => expect((v - (light[i] ?? 0)) * (dark ? 1 : -1)).toBeGreaterThan(5));
    }
  });
  test("text stands out", () => {
    expect(wantsDarkText("rgb(255, 255, 255)")).toBe(true);
    expect(wantsDarkText("rgb(10, 20, 30)")).toBe(false);
  });
});

describe("lists", () => {
  test("the worst pairs first, those without an answer before all", () => {
    const names = (m: Measure) => worst(mesh, m, 3).map((p) => p.from.zone + " " + p.to.zone);
    expect(names("p99")).toEqual(["ap-a eu-a", "eu-a ap-b", "eu-a ap-a"]);
    expect(names("loss")).toEqual(["ap-a eu-a", "ap-a ap-b", "eu-a ap-b"]);
  });
  test("a row has every zone", () => expect(row(mesh, 1).map((p) => p.figures.n)).toEqual([0, 0, 0]));
  test("coverage", () => expect(coverage(mesh)).toEqual({ measured: 6, lost: 1, all: 9 }));
});
