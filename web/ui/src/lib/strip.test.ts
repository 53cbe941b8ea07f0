import { describe, expect, test } from "vitest";
import { columnAt, columns, runs, step, tally } from "./strip";
import type { Slot, SlotState } from "./types";

const MIN = 60_000;
const T0 = 1_780_000_000_000 - (1_780_000_000_000 % MIN);

function slots(states: string): Slot[] {
  const names: Record<string, SlotState> = { g: "good", b: "bad", u: "unknown", o: "open" };
  return [...states].flatMap((c, i) => {
    const s = names[c];
    return s ? [{ t: T0 + i * MIN, s, good: s === "good" ? 60 : 0, total: s === "unknown" ? 0 : 60, v: 1, reason: s === "good" ? "" : s + i }] : [];
  });
}

const show = (states: string, max: number) =>
  columns(slots(states), MIN, T0, T0 + states.length * MIN, max)
    .map((c) => (c.state === "none" ? "." : c.state[0]))
    .join("");

describe("columns", () => {
  test.each([
    ["gggbguo", 100, "gggbguo"],
    ["gggbgugg", 4, "gbug"],
    ["gggggggbg", 3, "ggb"],
    ["bu", 1, "b"],
    ["gu", 1, "u"],
    ["go", 1, "o"],
    ["..gg", 4, "..gg"],
    [".g", 1, "g"],
  ])("%s in %i", (states, max, want) => expect(show(states, max)).toBe(want));

  test("counts and evidence survive the merge", () => {
    const [c] = columns(slots("gbub"), MIN, T0, T0 + 4 * MIN, 1);
    expect(c).toMatchObject({ state: "bad", reason: "bad1", good: 60, total: 180, from: T0, to: T0 + 4 * MIN });
    expect(c?.counts).toEqual({ good: 1, bad: 2, unknown: 1, open: 0 });
  });

  test("no slot is lost at an unaligned range", () => {
    const s = slots("g".repeat(361));
    const cols = columns(s, MIN, T0 + 30_000, T0 + 361 * MIN, 100);
    expect(cols.length).toBeLessThanOrEqual(100);
    expect(cols.reduce((n, c) => n + c.counts.good, 0)).toBe(361);
  });

  test("nonsense ranges are empty", () => {
    expect(columns([], 0, 0, 1, 1)).toEqual([]);
    expect(columns([], MIN, 5, 5, 1)).toEqual([]);
    expect(columns([], MIN, 0, MIN, 0)).toEqual([]);
  });
});

describe("runs", () => {
  test("bad and unknown apart, newest first", () => {
    const r = runs(slots("gbbuugb"), MIN);
    expect(r.map((x) => [x.state, x.slots, x.from - T0])).toEqual([
      ["bad", 1, 6 * MIN],
      ["unknown", 2, 3 * MIN],
      ["bad", 2, MIN],
    ]);
    expect(r[2]?.reasons).toEqual(["bad1", "bad2"]);
    expect(r[2]?.to).toBe(T0 + 3 * MIN);
  });
  test("a missing slot ends a run", () => {
    expect(runs(slots("b.b"), MIN)).toHaveLength(2);
  });
});

test("tally", () => {
  expect(tally(slots("ggbuo"))).toEqual({ good: 2, bad: 1, unknown: 1, open: 1 });
});

test("columnAt", () => {
  expect(columnAt(0, 300, 100)).toBe(0);
  expect(columnAt(299.9, 300, 100)).toBe(99);
  expect(columnAt(300, 300, 100)).toBe(-1);
  expect(columnAt(-1, 300, 100)).toBe(-1);
});

test("keys", () => {
  const cols = columns(slots("gbgug"), MIN, T0, T0 + 5 * MIN, 10);
  expect(step("ArrowLeft", -1, cols)).toBe(3);
  expect(step("ArrowLeft", 0, cols)).toBe(0);
  expect(step("End", 0, cols)).toBe(4);
  expect(step("PageDown", 4, cols)).toBe(3);
  expect(step("PageDown", 3, cols)).toBe(1);
  expect(step("PageDown", 1, cols)).toBe(1);
  expect(step("PageUp", 1, cols)).toBe(3);
  expect(step("x", 2, cols)).toBe(2);
  expect(step("Home", 2, [])).toBe(-1);
});
