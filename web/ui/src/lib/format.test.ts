import { describe, expect, test } from "vitest";
import * as f from "./format";

const plainSpaces = (s: string) => s.replaceAll("\u00a0", " ");

function cases<T>(name: string, fn: (v: T) => string, table: [T, string][]) {
  test.each(table)(`${name} %s`, (input, want) => {
    expect(plainSpaces(fn(input))).toBe(want);
  });
}

describe("promises are never rounded up", () => {
  cases("pct", f.pct, [
    ["99.99999", "99.99999 %"],
    ["", "–"],
  ]);
  cases("budget", f.budget, [
    [1, "100.0 %"],
    [0.99999, "99.9 %"],
    [0.9999999999999, "99.9 %"],
    [0.83, "83.0 %"],
    [0.8349, "83.4 %"],
    [0.0004, "0.0 %"],
    [0, "0.0 %"],
    [-0.00000001, "−0.1 %"],
    [-0.5, "−50.0 %"],
    [-22, "−2,200 %"],
    [NaN, "–"],
  ]);
  cases("availability", f.availability, [
    [100, "100.00 %"],
    [99.999, "99.99 %"],
    [0, "0.00 %"],
  ]);
});

describe("measurements", () => {
  cases("seconds", f.seconds, [
    [0, "0 s"],
    [0.0000123, "12.3 µs"],
    [0.000_999_9, "1.00 ms"],
    [0.0123, "12.3 ms"],
    [0.9999, "1.00 s"],
    [12.345, "12.3 s"],
    [Infinity, "timed out"],
    [NaN, "–"],
  ]);
  cases("bytes", f.bytes, [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.00 kB"],
    [123456, "123 kB"],
    [999_999, "1.00 MB"],
    [5.5e12, "5.50 TB"],
  ]);
  cases("burn", f.burn, [
    [0, "0.00×"],
    [14.44, "14.4×"],
    [1000, "1,000×"],
    [NaN, "–"],
  ]);
  cases("count", f.count, [
    [1234567, "1,234,567"],
    [-5, "−5"],
  ]);
  cases("percent", f.percent, [[12.345, "12.3 %"]]);
});

describe("times", () => {
  cases("duration", f.duration, [
    [0, "0 ms"],
    [250, "250 ms"],
    [1000, "1 s"],
    [1500, "1 s"],
    [90_000, "1 min 30 s"],
    [3_600_000, "1 h"],
    [3_601_000, "1 h"],
    [2_592_000_000, "30 d"],
    [93_600_000, "1 d 2 h"],
    [-60_000, "−1 min"],
  ]);
  test("ago", () => {
    expect(plainSpaces(f.ago(100_000, 97_000))).toBe("3 s ago");
    expect(f.ago(100_000, 100_500)).toBe("now");
    expect(f.ago(100_000, 0)).toBe("never");
  });
  test("when shows the date of another day", () => {
    const t = Date.UTC(2026, 10, 21, 14, 5, 9);
    expect(f.when(t + 1000, t)).toBe("14:05:09");
    expect(f.when(t + 86_400_000, t)).toBe("2026-11-21 14:05");
    expect(f.when(t, 0)).toBe("–");
  });
  test("window", () => {
    expect(plainSpaces(f.windowText(2_592_000_000, null))).toBe("rolling 30 d");
    expect(f.windowText(1, { unit: "month", time_zone: "Asia/Shanghai" })).toBe("calendar month, Asia/Shanghai");
  });
});

test("labels are sorted, hidden ones left out", () => {
  expect(f.labelText({ b: "2", a: "1", host: "h" }, ["host"])).toBe("a=1 b=2");
  expect(f.labelText({})).toBe("all");
  expect(f.plural(1, "host")).toBe("1 host");
  expect(f.plural(1200, "host")).toBe("1,200 hosts");
});
