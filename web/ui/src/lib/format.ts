// How numbers become text. Attainment arrives as text already truncated by the
// server; what is formatted here never rounds in the promise's favour either.

export const DASH = "–";
const MINUS = "−";
const NBSP = "\u00a0";

const integer = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** A count with thousands separators. */
export function count(n: number): string {
  return Number.isFinite(n) ? integer.format(n).replace("-", MINUS) : DASH;
}

/** The server's truncated percentage, with its unit; a dash without data. */
export function pct(s: string): string {
  return s === "" ? DASH : s + NBSP + "%";
}

/**
 * A share of the error budget as a percentage with one decimal, rounded down:
 * a budget that is touched never reads 100 %, one that is overspent never 0 %.
 */
export function budget(share: number): string {
  if (!Number.isFinite(share)) return DASH;
  // The tiny term takes back the representation error of shares such as 0.83.
  let tenths = Math.floor(share * 1000 + 1e-9);
  if (share < 1 && tenths >= 1000) tenths = 999;
  if (share < 0 && tenths >= 0) tenths = -1;
  const text = (Math.abs(tenths) / 10).toFixed(1);
  if (tenths <= -10000) return MINUS + integer.format(Math.ceil(-tenths / 10)) + NBSP + "%";
  return (tenths < 0 ? MINUS : "") + text + NBSP + "%";
}

/** A burn rate: how many times faster than allowed the budget is spent. */
export function burn(x: number): string {
  if (!Number.isFinite(x)) return DASH;
  if (x >= 100) return integer.format(x) + "×";
  if (x >= 10) return x.toFixed(1) + "×";
  return x.toFixed(2) + "×";
}

const DURATIONS: [number, string][] = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1_000, "s"],
  [1, "ms"],
];

/** A duration in its two greatest units: 90 000 → "1 min 30 s". */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return DASH;
  if (ms < 0) return MINUS + duration(-ms);
  if (ms < 1000) return Math.round(ms) + NBSP + "ms";
  const parts: string[] = [];
  let rest = Math.floor(ms);
  for (const [size, unit] of DURATIONS) {
    if (parts.length > 0 && unit === "ms") break;
    const n = Math.floor(rest / size);
    rest -= n * size;
    if (n > 0) parts.push(n + NBSP + unit);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

/** How long ago, coarse: "3 s ago". Times in the near future read "now". */
export function ago(now: number, t: number): string {
  if (!t) return "never";
  const ms = now - t;
  if (ms < 1000) return "now";
  const units: [number, string][] = [
    [86_400_000, "d"],
    [3_600_000, "h"],
    [60_000, "min"],
    [1_000, "s"],
  ];
  for (const [size, unit] of units) {
    if (ms >= size) return Math.floor(ms / size) + NBSP + unit + " ago";
  }
  return "now";
}

/** Seconds with the unit that keeps three significant digits. */
export function seconds(s: number): string {
  if (!Number.isFinite(s)) return s === Infinity ? "timed out" : DASH;
  const a = Math.abs(s);
  if (a === 0) return "0" + NBSP + "s";
  if (a < 0.000_999_5) return significant(s * 1e6) + NBSP + "µs";
  if (a < 0.999_5) return significant(s * 1e3) + NBSP + "ms";
  return significant(s) + NBSP + "s";
}

/** Bytes in decimal units. */
export function bytes(n: number): string {
  if (!Number.isFinite(n)) return DASH;
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let i = 0;
  while (Math.abs(n) >= 999.5 && i < units.length - 1) {
    n /= 1000;
    i++;
  }
  return (i === 0 ? Math.round(n).toString() : significant(n)) + NBSP + units[i];
}

/** Bytes per second in decimal units. */
export function byteRate(n: number): string {
  return Number.isFinite(n) ? bytes(n) + "/s" : DASH;
}

/** A measured percentage (CPU, memory), one decimal. Not for promises. */
export function percent(n: number): string {
  return Number.isFinite(n) ? n.toFixed(1) + NBSP + "%" : DASH;
}

/**
 * A measured availability in percent, truncated to two decimals so that one
 * failure in a thousand never reads 100 %.
 */
export function availability(n: number): string {
  if (!Number.isFinite(n)) return DASH;
  return (Math.floor(n * 100 + 1e-9) / 100).toFixed(2) + NBSP + "%";
}

/** A plain number with three significant digits. */
export function plain(n: number): string {
  return Number.isFinite(n) ? significant(n) : DASH;
}

function significant(n: number): string {
  const a = Math.abs(n);
  const text = a >= 99.95 ? n.toFixed(0) : a >= 9.995 ? n.toFixed(1) : n.toFixed(2);
  return text.replace("-", MINUS);
}

const pad = (n: number) => String(n).padStart(2, "0");

/** Clock time in the browser's zone: 14:05:09. */
export function clock(t: number): string {
  const d = new Date(t);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
}

/** Clock time to the minute. */
export function minute(t: number): string {
  const d = new Date(t);
  return `${pad(d.getHours())}:${pad(d.getMinutes())}`;
}

/** Date and time in the browser's zone: 2026-11-21 14:05. */
export function dateTime(t: number): string {
  const d = new Date(t);
  return `${day(t)} ${pad(d.getHours())}:${pad(d.getMinutes())}`;
}

/** Date in the browser's zone: 2026-11-21. */
export function day(t: number): string {
  const d = new Date(t);
  return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())}`;
}

/** A time as short as it can be beside `now`: clock alone on the same day. */
export function when(now: number, t: number): string {
  if (!t) return DASH;
  return day(now) === day(t) ? clock(t) : dateTime(t);
}

/** The objective's window in words. */
export function windowText(ms: number, calendar: { unit: string; time_zone: string } | null): string {
  if (calendar) return `calendar ${calendar.unit}, ${calendar.time_zone || "UTC"}`;
  return "rolling " + duration(ms);
}

/** Labels as "a=1 b=2", without those in `hide`. */
export function labelText(labels: Record<string, string>, hide: string[] = []): string {
  const parts = Object.keys(labels)
    .filter((n) => !hide.includes(n))
    .sort()
    .map((n) => `${n}=${labels[n]}`);
  return parts.length > 0 ? parts.join(" ") : "all";
}

/** Singular or plural by count: plural(2, "host") → "2 hosts". */
export function plural(n: number, word: string): string {
  return `${count(n)} ${word}${n === 1 ? "" : "s"}`;
}
