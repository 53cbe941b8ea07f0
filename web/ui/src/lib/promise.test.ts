import { expect, test } from "vitest";
import { fillGaps, missed } from "./promise";

test.each([
  [{ num: 999, den: 1000 }, { num: 999, den: 1000 }, false],
  [{ num: 9989, den: 10000 }, { num: 999, den: 1000 }, true],
  [{ num: 0, den: 0 }, { num: 999, den: 1000 }, false],
  [{ num: 9007199254740990, den: 9007199254740991 }, { num: 1, den: 1 }, true],
])("%o against %o", (a, t, want) => expect(missed(a, t)).toBe(want));

test("holes get an empty point at either end", () => {
  const at = (...ts: number[]) => ts.map((t) => ({ t, v: 1 }));
  const f = (ts: number[]) => fillGaps(at(...ts), 10, (t) => ({ t, v: 0 })).map((p) => `${p.t}:${p.v}`);
  expect(f([0, 10, 20])).toEqual(["0:1", "10:1", "20:1"]);
  expect(f([0, 20])).toEqual(["0:1", "10:0", "20:1"]);
  expect(f([0, 50])).toEqual(["0:1", "10:0", "40:0", "50:1"]);
  expect(f([])).toEqual([]);
});
