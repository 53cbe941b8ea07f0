// A contract's slots arrive as runs of one state: the strip takes slots.
import type { Figures, Slot, SlotRun } from "./types";

/** The slots of the runs, as the strip takes them; nothing was counted per slot here. */
export function slotsOf(runs: SlotRun[], slotMs: number): Slot[] {
  const out: Slot[] = [];
  if (slotMs <= 0) return out;
  for (const r of runs) {
    for (let t = r.from; t < r.to; t += slotMs) out.push({ t, s: r.s, good: 0, total: 0, v: 0, reason: "" });
  }
  return out;
}

/** Whether unknown slots leave more credit open than is owed by now. Amounts are the server's. */
export function atRisk(f: Figures): boolean {
  return Number(f.bounds.credit_high) > Number(f.credit.amount);
}

/** Whether a credit is owed. */
export function owed(f: Figures): boolean {
  return Number(f.credit.amount) > 0;
}
