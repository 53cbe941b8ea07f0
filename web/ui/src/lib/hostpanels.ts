// The plots of a host: which queries, and how their answers become lines.
import type { Line, PlotData } from "../components/Plot.svelte";
import { availability, byteRate, percent, plain, seconds } from "./format";
import { outerLinks, queryRange, quote, sum, wholeDisks, type Range, type Series } from "./prom";

/** Reads a range of one PromQL expression over the panel's time range. */
export type Query = (promql: string) => Promise<Range>;

export interface Panel {
  title: string;
  /** What to do where there is no data. */
  empty: string;
  format: (v: number) => string;
  max?: number;
  floorMax?: number;
  load: (host: string, step: number, query: Query) => Promise<PlotData>;
}

const COLORS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6"];
const DASHES: number[][] = [[], [7, 3], [2, 2], [9, 3, 2, 3], [4, 4], [1, 3]];
const MOST = COLORS.length;

const style = (i: number) => ({ color: COLORS[i % MOST] ?? "--c1", dash: DASHES[i % MOST] ?? [] });

/** The shortest window over which rate() sees two samples at any sane interval. */
export function rateWindow(step: number): string {
  return `${Math.max(30, 2 * step)}s`;
}

function collect(times: number[], rows: { label: string; values: (number | null)[]; extra?: Partial<Line> }[]): PlotData {
  const kept = rows.filter((r) => r.values.some((v) => v !== null));
  return { times, values: kept.map((r) => r.values), lines: kept.map((r, i) => ({ label: r.label, ...style(i), ...r.extra })) };
}

/** Lines of a range's series, the greatest newest values first, at most six. */
function lines(r: Range, label: (s: Series) => string): PlotData {
  const rows = r.series.map((s) => ({ label: label(s), values: s.values }));
  rows.sort((a, b) => a.label.localeCompare(b.label));
  return collect(r.times, rows.slice(0, MOST));
}

const probeName = (s: Series) => [s.labels.probe, s.labels.target].filter((x) => x).join(" ");

/** One series per file system: of several mounts of one device the shortest path. */
export function fileSystems(series: Series[]): Series[] {
  const real = series.filter((s) => !/^(tmpfs|devtmpfs|squashfs|overlay|efivarfs|ramfs)$/.test(s.labels.fstype ?? ""));
  const byDevice = new Map<string, Series>();
  for (const s of real.length > 0 ? real : series) {
    const key = s.labels.device ?? s.labels.path ?? "";
    const old = byDevice.get(key);
    if (!old || (s.labels.path ?? "").length < (old.labels.path ?? "").length) byDevice.set(key, s);
  }
  return [...byDevice.values()];
}

/** Two summed counters of a host as rates: in and out, read and write. */
async function pair(query: Query, host: string, step: number, metrics: [string, string], names: [string, string], label: string, keep: (n: string[]) => string[]) {
  const rate = (m: string) => query(`rate(${m}{host=${quote(host)}}[${rateWindow(step)}])`);
  const [a, b] = await Promise.all([rate(metrics[0]), rate(metrics[1])]);
  const total = (r: Range) => {
    const kept = new Set(keep(r.series.map((s) => s.labels[label] ?? "")));
    return sum(
      r.series.filter((s) => kept.has(s.labels[label] ?? "")),
      r.times.length,
    );
  };
  return collect(a.times, [
    { label: names[0], values: total(a), extra: { fill: true } },
    { label: names[1], values: total(b) },
  ]);
}

export const PANELS: Panel[] = [
  {
    title: "CPU",
    empty: "No cpu_usage_idle of this host: is the input [[inputs.cpu]] with totalcpu configured on its agent?",
    format: percent,
    max: 100,
    load: async (host, _, query) => {
      const h = quote(host);
      const [busy, parts] = await Promise.all([
        query(`100 - cpu_usage_idle{cpu="cpu-total",host=${h}}`),
        query(`{__name__=~"cpu_usage_(system|iowait|steal)",cpu="cpu-total",host=${h}}`),
      ]);
      const part = (n: string) => parts.series.find((s) => s.labels.__name__ === "cpu_usage_" + n)?.values ?? [];
      return collect(busy.times, [
        { label: "busy", values: busy.series[0]?.values ?? [], extra: { fill: true } },
        { label: "system", values: part("system") },
        { label: "I/O wait", values: part("iowait") },
        { label: "steal", values: part("steal").some((v) => v) ? part("steal") : [] },
      ]);
    },
  },
  {
    title: "Memory used",
    empty: "No mem_used_percent of this host: is the input [[inputs.mem]] configured on its agent?",
    format: percent,
    max: 100,
    load: async (host, _, query) => {
      const r = await query(`mem_used_percent{host=${quote(host)}}`);
      return collect(r.times, [{ label: "used", values: r.series[0]?.values ?? [], extra: { fill: true } }]);
    },
  },
  {
    title: "Probe latency",
    empty: "No probe runs on this host, or none was answered: list targets in the agent's file_sd file.",
    format: seconds,
    load: async (host, step, query) => {
      const w = Math.max(5, step);
      return lines(await query(`quantile_over_time(0.95, probe_latency_seconds{host=${quote(host)}}[${w}s])`), probeName);
    },
  },
  {
    title: "Probe availability",
    empty: "No probe runs on this host: list targets in the agent's file_sd file.",
    format: availability,
    max: 100,
    load: async (host, step, query) => {
      const w = Math.max(10, step);
      return lines(await query(`100 * avg_over_time(probe_success{host=${quote(host)}}[${w}s])`), probeName);
    },
  },
  {
    title: "Disk used",
    empty: "No disk_used_percent of this host: is the input [[inputs.disk]] configured on its agent?",
    format: percent,
    max: 100,
    load: async (host, _, query) => {
      const r = await query(`disk_used_percent{host=${quote(host)}}`);
      return lines({ times: r.times, series: fileSystems(r.series) }, (s) => s.labels.path ?? s.labels.device ?? "");
    },
  },
  {
    title: "Disk I/O",
    empty: "No diskio counters of this host: is the input [[inputs.diskio]] configured on its agent?",
    format: byteRate,
    floorMax: 1000,
    load: (host, step, query) => pair(query, host, step, ["diskio_read_bytes", "diskio_write_bytes"], ["read", "written"], "name", wholeDisks),
  },
  {
    title: "Network",
    empty: "No net counters of this host: is the input [[inputs.net]] configured on its agent?",
    format: byteRate,
    floorMax: 1000,
    load: (host, step, query) => pair(query, host, step, ["net_bytes_recv", "net_bytes_sent"], ["received", "sent"], "interface", outerLinks),
  },
  {
    title: "Load average",
    empty: "No system_load1 of this host: is the input [[inputs.system]] configured on its agent?",
    format: plain,
    floorMax: 1,
    load: async (host, _, query) => {
      const r = await query(`{__name__=~"system_load(1|5|15)",host=${quote(host)}}`);
      const of = (n: string) => r.series.find((s) => s.labels.__name__ === "system_load" + n)?.values ?? [];
      return collect(r.times, [
        { label: "1 min", values: of("1"), extra: { fill: true } },
        { label: "5 min", values: of("5") },
        { label: "15 min", values: of("15") },
      ]);
    },
  },
];

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];

/** The step in seconds that gives a range of `ms` at most about 240 points. */
export function stepFor(ms: number): number {
  const wanted = ms / 1000 / 240;
  return STEPS.find((s) => s >= wanted) ?? 3600;
}

/** A query bound to a time range (Unix seconds). */
export function bind(from: number, to: number, step: number, signal: AbortSignal): Query {
  return (promql) => queryRange(promql, from, to, step, signal);
}
