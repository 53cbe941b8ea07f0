// The mesh's matrix: regions opened into zones or not, what a cell says, where it
// lies and how it is coloured.
import { count, DASH, plain, seconds } from "./format";
import type { Mesh, MeshZone } from "./types";

export type Measure = "p50" | "p95" | "p99" | "loss";

/** A row and column: one zone, or all zones of a region that is not opened. */
export interface Entry {
  region: string;
  /** Empty for a region. */
  zone: string;
  /** Places in the matrix. */
  at: number[];
}

/** The rows, which are the columns too, with the zones of opened regions. */
export function entries(zones: MeshZone[], open: (region: string) => boolean): Entry[] {
  const out: Entry[] = [];
  zones.forEach((z, i) => {
    const last = out[out.length - 1];
    if (open(z.region)) out.push({ region: z.region, zone: z.zone, at: [i] });
    else if (last && last.region === z.region) last.at.push(i);
    else out.push({ region: z.region, zone: "", at: [i] });
  });
  return out;
}

export const title = (e: Entry): string => e.zone || e.region || "no region";

/** What is known from one entry to another: packets together, round trips of the worst pair. */
export interface Figures {
  n: number;
  lost: number;
  /** Pairs of zones without any answer. */
  gone: number;
  loss: number | null;
  p50: number | null;
  p95: number | null;
  p99: number | null;
}

export function figures(m: Mesh, from: Entry, to: Entry): Figures {
  const f: Figures = { n: 0, lost: 0, gone: 0, loss: null, p50: null, p95: null, p99: null };
  for (const i of from.at) {
    for (const j of to.at) {
      const n = m.n[i]?.[j] ?? 0;
      const lost = m.lost[i]?.[j] ?? 0;
      f.n += n;
      f.lost += lost;
      if (n > 0 && lost === n) f.gone++;
      for (const q of ["p50", "p95", "p99"] as const) {
        const v = m[q][i]?.[j] ?? null;
        if (v !== null) f[q] = Math.max(f[q] ?? 0, v);
      }
    }
  }
  if (f.n > 0) f.loss = f.lost / f.n;
  return f;
}

/** Nobody measured the pair, all was lost, or a number. */
export type Cell = { is: "none" } | { is: "lost" } | { is: "value"; value: number };

export function cell(f: Figures, measure: Measure): Cell {
  if (f.n > 0 && f.lost === f.n) return { is: "lost" };
  const value = f[measure];
  return value === null ? { is: "none" } : { is: "value", value };
}

/** Upper bounds of the colours, the last one without. The same at all times, so that colours can be compared. */
const TRIPS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4];
const LOSSES = [0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5];

export function bounds(measure: Measure): number[] {
  return measure === "loss" ? LOSSES : TRIPS;
}

/** Which colour a value has: the first whose bound it does not exceed. */
export function step(measure: Measure, value: number): number {
  const all = bounds(measure);
  const i = all.findIndex((b) => value <= b);
  return i < 0 ? all.length : i;
}

/** What the colours mean, in order. */
export function legend(measure: Measure): string[] {
  const all = bounds(measure);
  const last = all[all.length - 1] ?? 0;
  return [...all.map((b) => (b === 0 ? "none" : "≤ " + text(measure, b))), "> " + text(measure, last)];
}

/** A figure as people read it. */
export function text(measure: Measure, v: number | null): string {
  if (v === null) return DASH;
  return measure === "loss" ? lossText(v) : seconds(v);
}

/** A share of lost packets: one of many never reads 0 %, all but one never 100 %. */
export function lossText(share: number): string {
  if (!Number.isFinite(share)) return DASH;
  const pct = share * 100;
  if (pct === 0 || pct === 100) return pct + "\u00a0%";
  if (pct < 0.01) return "< 0.01\u00a0%";
  return (pct > 99 ? Math.min(99.99, Math.floor(pct * 100) / 100).toFixed(2) : plain(pct)) + "\u00a0%";
}

/** As short as a cell has room for: milliseconds or percent without a unit. */
export function short(measure: Measure, v: number): string {
  const x = measure === "loss" ? v * 100 : v * 1000;
  if (x === 0) return "0";
  if (x >= 9.95) return String(Math.round(x));
  return x < 0.095 ? "<.1" : x.toFixed(1);
}

/** One sentence for a pair. */
export function sentence(f: Figures, several: boolean): string {
  if (f.n === 0) return "not measured";
  const trips = f.p50 === null ? "no packet was answered" : `${several ? "worst pair: " : ""}median ${seconds(f.p50)}, 95 % within ${text("p95", f.p95)}, 99 % within ${text("p99", f.p99)}`;
  const gone = several && f.gone > 0 && f.lost < f.n ? `; ${count(f.gone)} of its pairs without any answer` : "";
  return `${trips}; ${f.lost === 0 ? "no packet lost" : lossText(f.loss ?? 0) + " lost, " + count(f.lost)} of ${count(f.n)}${gone}`;
}

type Colour = [number, number, number];

// Lightness alone tells the steps apart, for eyes that tell no hues.
const RAMPS: Record<"trips" | "loss", Record<"light" | "dark", Colour[]>> = {
  trips: {
    light: [[231, 242, 238], [140, 203, 196], [52, 142, 160], [31, 82, 128], [44, 22, 74]],
    dark: [[24, 48, 58], [29, 88, 107], [55, 140, 140], [135, 194, 131], [250, 240, 168]],
  },
  loss: {
    light: [[232, 238, 240], [250, 214, 168], [240, 158, 84], [199, 78, 28], [92, 18, 20]],
    dark: [[28, 42, 50], [84, 50, 28], [158, 78, 30], [238, 136, 70], [255, 228, 190]],
  },
};

/** The colours of a measure, from the least to the most. */
export function colours(measure: Measure, dark: boolean): string[] {
  const ramp = RAMPS[measure === "loss" ? "loss" : "trips"][dark ? "dark" : "light"];
  const n = bounds(measure).length + 1;
  return Array.from({ length: n }, (_, i) => rgb(mix(ramp, i / (n - 1))));
}

function mix(ramp: Colour[], t: number): Colour {
  const x = t * (ramp.length - 1);
  const i = Math.min(Math.floor(x), ramp.length - 2);
  const a = ramp[i] ?? [0, 0, 0];
  const b = ramp[i + 1] ?? a;
  return [0, 1, 2].map((k) => Math.round((a[k] ?? 0) + ((b[k] ?? 0) - (a[k] ?? 0)) * (x - i))) as Colour;
}

const rgb = ([r, g, b]: Colour) => `rgb(${r}, ${g}, ${b})`;

/** Whether dark text reads better on the colour. */
export function wantsDarkText(colour: string): boolean {
  const [r = 0, g = 0, b = 0] = (colour.match(/\d+/g) ?? []).map(Number);
  return 0.299 * r + 0.587 * g + 0.114 * b > 140;
}

/** Where rows and columns lie: the begin of each, with a gap between regions. */
export interface Layout {
  size: number;
  begin: number[];
  length: number;
}

/** The least side of a cell, in pixels: a region of one cell holds its name's line. What needs more room scrolls. */
const LEAST = 11;

export function layout(all: Entry[], room: number): Layout {
  const gap = (k: number) => (k > 0 && all[k]?.region !== all[k - 1]?.region ? 2 : 0);
  const gaps = all.reduce((sum, _, k) => sum + gap(k), 0);
  const size = Math.max(LEAST, Math.min(44, Math.floor((room - gaps) / Math.max(1, all.length))));
  const begin: number[] = [];
  let x = 0;
  all.forEach((_, k) => {
    x += gap(k);
    begin.push(x);
    x += size;
  });
  return { size, begin, length: x };
}

/** Which row or column a distance falls on; -1 for none. */
export function indexAt(l: Layout, x: number): number {
  for (let k = l.begin.length - 1; k >= 0; k--) {
    const b = l.begin[k] ?? 0;
    if (x >= b) return x < b + l.size ? k : -1;
  }
  return -1;
}

/** The stretches of one region each, for labels. */
export interface Span {
  region: string;
  first: number;
  last: number;
  from: number;
  to: number;
}

export function spans(all: Entry[], l: Layout): Span[] {
  const out: Span[] = [];
  all.forEach((e, k) => {
    const from = l.begin[k] ?? 0;
    const last = out[out.length - 1];
    if (last && last.region === e.region) {
      last.last = k;
      last.to = from + l.size;
    } else out.push({ region: e.region, first: k, last: k, from, to: from + l.size });
  });
  return out;
}

/** Where a key leads from a cell; the same cell where it leads nowhere. */
export function move(key: string, at: { row: number; column: number }, n: number, regions: Span[]): { row: number; column: number } {
  const keep = (k: number) => Math.max(0, Math.min(n - 1, k));
  const jump = (k: number, by: number) => {
    const i = regions.findIndex((s) => k >= s.first && k <= s.last);
    return regions[i + by]?.first ?? k;
  };
  switch (key) {
    case "ArrowLeft":
      return { row: at.row, column: keep(at.column - 1) };
    case "ArrowRight":
      return { row: at.row, column: keep(at.column + 1) };
    case "ArrowUp":
      return { row: keep(at.row - 1), column: at.column };
    case "ArrowDown":
      return { row: keep(at.row + 1), column: at.column };
    case "PageUp":
      return { row: jump(at.row, -1), column: at.column };
    case "PageDown":
      return { row: jump(at.row, 1), column: at.column };
    case "Home":
      return { row: at.row, column: 0 };
    case "End":
      return { row: at.row, column: keep(n - 1) };
  }
  return at;
}

/** One ordered pair of zones. */
export interface Pair {
  from: MeshZone;
  to: MeshZone;
  figures: Figures;
}

/** All pairs that were measured, the worst first: those lost entirely lead. */
export function worst(m: Mesh, measure: Measure, limit: number): Pair[] {
  const all: { i: number; j: number; rank: number }[] = [];
  m.n.forEach((row, i) =>
    row.forEach((n, j) => {
      if (n === 0) return;
      const v = m[measure][i]?.[j] ?? null;
      all.push({ i, j, rank: v === null ? Infinity : v });
    }),
  );
  all.sort((a, b) => (a.rank === b.rank ? (m.loss[b.i]?.[b.j] ?? 0) - (m.loss[a.i]?.[a.j] ?? 0) : b.rank - a.rank));
  return all.slice(0, limit).flatMap(({ i, j }) => pairAt(m, i, j));
}

/** The pairs from one zone, in order. */
export function row(m: Mesh, i: number): Pair[] {
  return m.zones.flatMap((_, j) => pairAt(m, i, j));
}

function pairAt(m: Mesh, i: number, j: number): Pair[] {
  const from = m.zones[i];
  const to = m.zones[j];
  if (!from || !to) return [];
  return [{ from, to, figures: figures(m, { ...from, at: [i] }, { ...to, at: [j] }) }];
}

/** How much of the matrix was measured. */
export function coverage(m: Mesh): { measured: number; lost: number; all: number } {
  let measured = 0;
  let lost = 0;
  m.n.forEach((r, i) =>
    r.forEach((n, j) => {
      if (n > 0) measured++;
      if (n > 0 && m.lost[i]?.[j] === n) lost++;
    }),
  );
  return { measured, lost, all: m.zones.length * m.zones.length };
}
