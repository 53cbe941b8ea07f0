// The strip: slots of a time range as columns, and runs of what was not good.
import type { Slot, SlotState } from "./types";

/** A column's state; "none" where the ledger has no slot: the group was not expected yet. */
export type ColumnState = SlotState | "none";

export interface Column {
  /** Start and end, Unix milliseconds, end exclusive. */
  from: number;
  to: number;
  state: ColumnState;
  counts: Record<SlotState, number>;
  good: number;
  total: number;
  /** The first reason given by a slot of the column's state. */
  reason: string;
  /** The greatest version among the slots: above 1 means restated. */
  version: number;
}

/** Worst first: what a column of several slots shows. */
const ORDER: SlotState[] = ["bad", "unknown", "open", "good"];

/**
 * Cuts [from, to) into at most `max` columns of equal length, a multiple of the
 * slot's length, aligned to slots. No slot is dropped: a column shows the worst
 * of its slots. Unknown never hides a bad slot and is never shown as good.
 */
export function columns(slots: Slot[], slotMs: number, from: number, to: number, max: number): Column[] {
  if (slotMs <= 0 || to <= from || max < 1) return [];
  const first = Math.floor(from / slotMs) * slotMs;
  const slotCount = Math.ceil((to - first) / slotMs);
  const per = Math.ceil(slotCount / max);
  const width = per * slotMs;
  const n = Math.ceil(slotCount / per);
  const cols: Column[] = [];
  for (let i = 0; i < n; i++) {
    const start = first + i * width;
    cols.push({
      from: start,
      to: start + width,
      state: "none",
      counts: { good: 0, bad: 0, unknown: 0, open: 0 },
      good: 0,
      total: 0,
      reason: "",
      version: 0,
    });
  }
  for (const s of slots) {
    const c = cols[Math.floor((s.t - first) / width)];
    if (!c || s.t < first) continue;
    c.counts[s.s]++;
    c.good += s.good;
    c.total += s.total;
    c.version = Math.max(c.version, s.v);
    const worse = c.state === "none" || ORDER.indexOf(s.s) < ORDER.indexOf(c.state);
    if (worse) {
      c.state = s.s;
      c.reason = s.reason;
    } else if (c.state === s.s && c.reason === "") {
      c.reason = s.reason;
    }
  }
  return cols;
}

export interface Run {
  from: number;
  to: number;
  state: "bad" | "unknown";
  slots: number;
  good: number;
  total: number;
  reasons: string[];
}

/** Runs of consecutive bad or unknown slots, newest first. */
export function runs(slots: Slot[], slotMs: number): Run[] {
  const out: Run[] = [];
  let cur: Run | null = null;
  for (const s of slots) {
    if (s.s !== "bad" && s.s !== "unknown") {
      cur = null;
      continue;
    }
    if (!cur || cur.state !== s.s || cur.to !== s.t) {
      cur = { from: s.t, to: s.t, state: s.s, slots: 0, good: 0, total: 0, reasons: [] };
      out.push(cur);
    }
    cur.to = s.t + slotMs;
    cur.slots++;
    cur.good += s.good;
    cur.total += s.total;
    if (s.reason && !cur.reasons.includes(s.reason)) cur.reasons.push(s.reason);
  }
  return out.reverse();
}

/** How many slots are in each state. */
export function tally(slots: Slot[]): Record<SlotState, number> {
  const n = { good: 0, bad: 0, unknown: 0, open: 0 };
  for (const s of slots) n[s.s]++;
  return n;
}

/** The column that holds the pixel x of a strip `width` pixels wide; -1 outside. */
export function columnAt(x: number, width: number, n: number): number {
  if (n === 0 || width <= 0 || x < 0 || x >= width) return -1;
  return Math.min(n - 1, Math.floor((x / width) * n));
}

/** Where a key moves the cursor; the same index where the key means nothing. */
export function step(key: string, at: number, cols: Column[]): number {
  const last = cols.length - 1;
  if (last < 0) return -1;
  const from = at < 0 ? last : at;
  switch (key) {
    case "ArrowLeft":
    case "ArrowDown":
      return Math.max(0, from - 1);
    case "ArrowRight":
    case "ArrowUp":
      return Math.min(last, from + 1);
    case "PageDown":
      return nextNotGood(cols, from, -1);
    case "PageUp":
      return nextNotGood(cols, from, 1);
    case "Home":
      return 0;
    case "End":
      return last;
  }
  return at;
}

function nextNotGood(cols: Column[], from: number, dir: 1 | -1): number {
  for (let i = from + dir; i >= 0 && i < cols.length; i += dir) {
    const s = cols[i]?.state;
    if (s === "bad" || s === "unknown") return i;
  }
  return from;
}
