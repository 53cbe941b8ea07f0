import { expect, test } from "vitest";
import { fileSystems, PANELS, rateWindow, stepFor } from "./hostpanels";
import { grid, type Range } from "./prom";

test.each([
  [300_000, 2],
  [900_000, 5],
  [3_600_000, 15],
  [86_400_000, 600],
])("step for %i ms", (ms, want) => expect(stepFor(ms)).toBe(want));

test("rate windows hold two samples", () => {
  expect(rateWindow(2)).toBe("30s");
  expect(rateWindow(60)).toBe("120s");
});

test("one line per file system", () => {
  const fs = (path: string, device: string, fstype: string) => ({ labels: { path, device, fstype }, values: [] });
  const kept = fileSystems([fs("/var/lib/x", "vda1", "ext4"), fs("/", "vda1", "ext4"), fs("/run", "tmpfs", "tmpfs"), fs("/data", "vdb", "xfs")]);
  expect(kept.map((s) => s.labels.path)).toEqual(["/", "/data"]);
});

test("every panel reads its own host's series, and an empty answer draws nothing", async () => {
  const times = grid(0, 100, 10);
  for (const p of PANELS) {
    const asked: string[] = [];
    const data = await p.load('a"b', 10, async (q) => {
      asked.push(q);
      return { times, series: [] };
    });
    expect(asked.every((q) => q.includes('host="a\\"b"'))).toBe(true);
    expect(data.lines).toEqual([]);
  }
});

test("network adds up the outer interfaces", async () => {
  const range = (v: number, ...ifs: string[]): Range => ({ times: [10], series: ifs.map((i) => ({ labels: { interface: i }, values: [v] })) });
  const panel = PANELS.find((p) => p.title === "Network");
  const data = await panel?.load("h", 5, async (q) => (q.includes("recv") ? range(10, "eth0", "eth1", "lo") : range(3, "eth0", "lo")));
  expect(data?.values).toEqual([[20], [3]]);
  expect(data?.lines.map((l) => l.label)).toEqual(["received", "sent"]);
});
