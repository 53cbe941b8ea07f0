// What the HTTP API answers. Times are Unix milliseconds, ratios exact integers.

export interface Ratio {
  num: number;
  den: number;
}

export type Labels = Record<string, string>;
export type SlotState = "good" | "bad" | "unknown" | "open";
export type GroupState = "up" | "failing" | "down" | "silent" | "";

export interface Burn {
  severity: string;
  long_ms: number;
  short_ms: number;
  factor: number;
  long: number;
  short: number;
  firing: boolean;
}

export interface GroupStatus {
  id: string;
  labels: Labels;
  state: GroupState;
  down: "" | "advisory" | "down";
  attainment: Ratio;
  /** Truncated to five decimals; empty without data. */
  attainment_pct: string;
  budget_left: number;
  burn: Burn[];
  good: number;
  total: number;
  good_slots: number;
  bad_slots: number;
  unknown_slots: number;
  last_sample: number;
  log_time: number;
}

export interface ObjectiveSummary {
  name: string;
  display_name: string;
  service: string;
  description: string;
  target: Ratio;
  target_pct: string;
  budgeting: string;
  window_ms: number;
  calendar: { time_zone: string; unit: string } | null;
  stream: string;
  metric: string;
  kind: "availability" | "latency" | "ratio";
  threshold: number | null;
  slot_ms: number;
  groups_total: number;
  groups_decided: number;
  groups_met: number;
  /** Worst first; the overview may hold the worst alone. */
  groups: GroupStatus[];
}

export interface Region {
  name: string;
  zones: string[];
  hosts: number;
  agents: number;
  last_seen: number;
  silent: boolean;
}

export interface Overview {
  now: number;
  log_time: number;
  version: string;
  data_dir: string;
  regions: Region[];
  objectives: ObjectiveSummary[];
  alerts: { page: number; ticket: number; advisory: number };
}

export interface Slot {
  t: number;
  s: SlotState;
  good: number;
  total: number;
  v: number;
  reason: string;
}

export interface SlotsAnswer {
  group: string;
  labels: Labels;
  slot_ms: number;
  slots: Slot[];
}

export interface PercentilePoint {
  t: number;
  count: number;
  inf: number;
  /** Seconds, one per quantile; null where the quantile is a time-out or there is no sample. */
  v: (number | null)[];
}

export interface PercentilesAnswer {
  q: number[];
  step_ms: number;
  points: PercentilePoint[];
}

export interface BurndownAnswer {
  step_ms: number;
  points: { t: number; budget_left: number }[];
}

export interface ContractSummary {
  name: string;
  customer: string;
  product: string;
}

/** What a settlement says of its whole and of each part; texts are the server's, truncated. */
export interface Figures {
  slots: { applicable: number; good: number; bad: number; unknown: number; excluded: number; not_applicable: number };
  attainment_pct: string;
  coverage_pct: string;
  bounds: { attainment_low_pct: string; attainment_high_pct: string; credit_low: string; credit_high: string };
  credit: { percent: string; amount: string; currency: string };
}

export interface SlotRun {
  from: number;
  to: number;
  s: SlotState;
}

export interface Standing extends ContractSummary {
  period: { name: string; start: number; end: number; until: number; time_zone: string };
  fee: string;
  settlement: Figures & { objectives: (Figures & { name: string })[] };
  strips: { objective: string; reading: string; slot_ms: number; runs: SlotRun[] }[];
}

export interface Host {
  host: string;
  zone: string;
  region: string;
  agent: string;
  boot: string;
  first_seen: number;
  last_seen: number;
  frames: number;
  samples: number;
  repeats: number;
  gap_frames: number;
  skew_ms: number;
  newest: number;
  labels: Labels;
}

export interface Alert {
  labels: Labels;
  annotations: Labels;
  status: "firing" | "resolved";
  starts_at: number;
  ends_at: number;
  silenced: boolean;
}

export interface Gap {
  agent: string;
  boot: string;
  first_seq: number;
  last_seq: number;
  from: number;
  to: number;
  reason: string;
}

/** One role's loop over one partition. Lags are -1 where not known yet. */
export interface Loop {
  role: string;
  topic: string;
  partition: number;
  lag_records: number;
  lag_seconds: number;
  fetch_seconds: number;
  busy_seconds: number;
  idle_seconds: number;
  saturation: number;
}

/** A record that could not be used. */
export interface Letter {
  letter: number;
  time: number;
  reason: string;
  detail: string;
  advice: string;
  topic: string;
  partition: number;
  offset: number;
  bytes: number;
  sent_again: boolean;
}

export interface Pipeline {
  loops: Loop[];
  letters: Letter[];
  reasons: Record<string, number>;
  looked_at: number;
  trouble?: string;
}

export interface MeshZone {
  region: string;
  zone: string;
}

/** Rows are where packets came from, columns where they went, as in zones. */
export interface Mesh {
  from: number;
  rtt_from: number;
  to: number;
  /** Empty where no objective counts the mesh. */
  loss_objective: string;
  rtt_objective: string;
  zones: MeshZone[];
  n: number[][];
  lost: number[][];
  /** null where nobody measured. */
  loss: (number | null)[][];
  /** Seconds; null where no packet was answered. */
  p50: (number | null)[][];
  p95: (number | null)[][];
  p99: (number | null)[][];
}

export interface MeshPair {
  loss_objective: string;
  loss_group: string;
  rtt_objective: string;
  rtt_group: string;
}
