import { expect, test } from "vitest";
import { atRisk, owed, slotsOf } from "./contract";
import { tally } from "./strip";
import type { Figures } from "./types";

test("runs become the slots that they are of", () => {
  const slots = slotsOf(
    [
      { from: 0, to: 180_000, s: "good" },
      { from: 240_000, to: 360_000, s: "bad" },
      { from: 360_000, to: 420_000, s: "unknown" },
    ],
    60_000,
  );
  expect(slots.map((s) => s.t)).toEqual([0, 60_000, 120_000, 240_000, 300_000, 360_000]);
  expect(tally(slots)).toEqual({ good: 3, bad: 2, unknown: 1, open: 0 });
  expect(slotsOf([{ from: 0, to: 10, s: "good" }], 0)).toEqual([]);
});

const figures = (amount: string, high: string) => ({ credit: { percent: "10", amount, currency: "USD" }, bounds: { credit_high: high } }) as unknown as Figures;

test.each([
  ["0.00", "0.00", false, false],
  ["0.00", "1000.00", false, true],
  ["1000.00", "1000.00", true, false],
  ["9.50", "10.00", true, true],
])("owed %s, at most %s", (amount, high, isOwed, isAtRisk) => {
  expect(owed(figures(amount, high))).toBe(isOwed);
  expect(atRisk(figures(amount, high))).toBe(isAtRisk);
});
