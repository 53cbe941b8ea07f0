// Range and instant queries of the Prometheus HTTP API, as columns for plots.
import { get } from "./api";
import type { Labels } from "./types";

interface PromAnswer<T> {
  status: string;
  data: { result: T[] };
}

export interface Series {
  labels: Labels;
  /** Aligned to Range.times; null where there is no finite value. */
  values: (number | null)[];
}

export interface Range {
  /** Unix seconds. */
  times: number[];
  series: Series[];
}

/** The times of a range query: multiples of `step` seconds in [from, to]. */
export function grid(from: number, to: number, step: number): number[] {
  const out: number[] = [];
  for (let t = Math.ceil(from / step) * step; t <= to; t += step) out.push(t);
  return out;
}

/** Places a matrix result on the grid; +Inf and NaN become null. */
export function align(result: { metric: Labels; values: [number, string][] }[], times: number[]): Series[] {
  const index = new Map(times.map((t, i) => [t, i]));
  return result.map((r) => {
    const values: (number | null)[] = new Array(times.length).fill(null);
    for (const [t, s] of r.values) {
      const i = index.get(t);
      const v = Number(s);
      if (i !== undefined && Number.isFinite(v)) values[i] = v;
    }
    return { labels: r.metric, values };
  });
}

/** Runs a range query; times are Unix seconds. */
export async function queryRange(query: string, from: number, to: number, step: number, signal?: AbortSignal): Promise<Range> {
  const times = grid(from, to, step);
  const start = times[0];
  const end = times[times.length - 1];
  if (start === undefined || end === undefined) return { times: [], series: [] };
  const a = await get<PromAnswer<{ metric: Labels; values: [number, string][] }>>(
    "/api/v1/query_range",
    { query, start, end, step },
    signal,
  );
  return { times, series: align(a.data.result, times) };
}

/** Runs an instant query. */
export async function queryNow(query: string, signal?: AbortSignal): Promise<{ labels: Labels; value: number }[]> {
  const a = await get<PromAnswer<{ metric: Labels; value: [number, string] }>>("/api/v1/query", { query }, signal);
  return a.data.result.map((r) => ({ labels: r.metric, value: Number(r.value[1]) }));
}

/** Quotes a label value for PromQL. */
export function quote(s: string): string {
  return `"${s.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
}

const VIRTUAL_DISK = /^(loop|ram|zram|sr|fd|dm-|md)/;
const VIRTUAL_LINK = /^(lo|veth|docker|br-|virbr|cni|flannel|cali|tap|dummy|ifb|all$)/;

/**
 * The block devices whose bytes add up without counting any twice: whole disks,
 * without partitions (vda1 of vda, nvme0n1p2 of nvme0n1) and without devices
 * that are made of others. Where only such are left, those.
 */
export function wholeDisks(names: string[]): string[] {
  const isPart = (n: string) =>
    names.some((d) => d !== n && n.startsWith(d) && /^(p?\d+)$/.test(n.slice(d.length)) && (/\d$/.test(d) ? n[d.length] === "p" : n[d.length] !== "p"));
  const whole = names.filter((n) => !VIRTUAL_DISK.test(n) && !isPart(n));
  return whole.length > 0 ? whole : names.filter((n) => !isPart(n));
}

/** The network interfaces that face the outside; all where none does. */
export function outerLinks(names: string[]): string[] {
  const outer = names.filter((n) => !VIRTUAL_LINK.test(n));
  return outer.length > 0 ? outer : names.filter((n) => n !== "all");
}

/** Adds series up, point by point; null where none has a value. */
export function sum(series: Series[], length: number): (number | null)[] {
  const out: (number | null)[] = new Array(length).fill(null);
  for (const s of series) {
    s.values.forEach((v, i) => {
      if (v !== null) out[i] = (out[i] ?? 0) + v;
    });
  }
  return out;
}
