// What the page itself decides: promises exactly, holes in plots honestly.
import type { Ratio } from "./types";

/**
 * Whether an attainment breaks its target: compared by cross-multiplication in
 * exact integers, as the server does. Without data nothing is broken.
 */
export function missed(attainment: Ratio, target: Ratio): boolean {
  return attainment.den > 0 && BigInt(attainment.num) * BigInt(target.den) < BigInt(target.num) * BigInt(attainment.den);
}

/**
 * Puts an empty point into each hole of more than one step, so that a plot
 * breaks its line where nothing was measured. Points ascend by t.
 */
export function fillGaps<T extends { t: number }>(points: T[], step: number, empty: (t: number) => T): T[] {
  const out: T[] = [];
  let last: T | undefined;
  for (const p of points) {
    if (last && step > 0 && p.t - last.t > step) {
      out.push(empty(last.t + step));
      if (p.t - last.t > 2 * step) out.push(empty(p.t - step));
    }
    out.push(p);
    last = p;
  }
  return out;
}
