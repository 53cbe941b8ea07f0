// What each host is doing right now, for the overview's table.
import { outerLinks, queryNow } from "./prom";

export interface Load {
  cpu?: number;
  memory?: number;
  disk?: number;
  received?: number;
  sent?: number;
}

/** Reads the newest values of all hosts, by host name. */
export async function currentLoads(signal: AbortSignal): Promise<Map<string, Load>> {
  const loads = new Map<string, Load>();
  const at = (host: string): Load => {
    let l = loads.get(host);
    if (!l) loads.set(host, (l = {}));
    return l;
  };
  const [cpu, memory, disk, received, sent] = await Promise.all(
    [
      `100 - cpu_usage_idle{cpu="cpu-total"}`,
      `mem_used_percent`,
      `max by (host) (disk_used_percent)`,
      `rate(net_bytes_recv[30s])`,
      `rate(net_bytes_sent[30s])`,
    ].map((q) => queryNow(q, signal)),
  );
  for (const s of cpu ?? []) at(s.labels.host ?? "").cpu = s.value;
  for (const s of memory ?? []) at(s.labels.host ?? "").memory = s.value;
  for (const s of disk ?? []) at(s.labels.host ?? "").disk = s.value;
  for (const [host, v] of sumLinks(received ?? [])) at(host).received = v;
  for (const [host, v] of sumLinks(sent ?? [])) at(host).sent = v;
  return loads;
}

function sumLinks(rows: { labels: Record<string, string>; value: number }[]): Map<string, number> {
  const byHost = new Map<string, typeof rows>();
  for (const r of rows) {
    const host = r.labels.host ?? "";
    byHost.set(host, [...(byHost.get(host) ?? []), r]);
  }
  const sums = new Map<string, number>();
  for (const [host, list] of byHost) {
    const outer = new Set(outerLinks(list.map((r) => r.labels.interface ?? "")));
    sums.set(
      host,
      list.filter((r) => outer.has(r.labels.interface ?? "")).reduce((n, r) => n + r.value, 0),
    );
  }
  return sums;
}
