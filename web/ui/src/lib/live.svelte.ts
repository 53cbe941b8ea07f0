// What the server pushes: the overview, whenever it changes, and alert news.
import { get, words } from "./api";
import type { Alert, Host, Overview } from "./types";

/** Without a word for this long the connection counts as lost: the server pings every 5 s. */
const SILENCE = 12_000;
const RETRY_FIRST = 500;
const RETRY_MOST = 5_000;

class Live {
  overview = $state<Overview | null>(null);
  alerts = $state<Alert[] | null>(null);
  hosts = $state<Host[] | null>(null);
  /** Browser clock in Unix milliseconds, moved once a second. */
  now = $state(Date.now());
  connected = $state(false);
  /** Browser time of the loss; 0 while connected or before the first try ended. */
  lostAt = $state(0);
  problem = $state("");

  private source: EventSource | undefined;
  private heard = 0;
  /** Server clock minus browser clock, milliseconds, from the newest message. */
  private offset = 0;
  private retry = RETRY_FIRST;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private alertsTimer: ReturnType<typeof setTimeout> | undefined;
  private hostsAt = 0;

  constructor() {
    this.connect();
    setInterval(() => this.second(), 1000);
    addEventListener("online", () => this.reconnectNow());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.second();
    });
  }

  /** The server's clock now, as well as the browser can tell. */
  get serverNow(): number {
    return this.now + this.offset;
  }

  private connect() {
    clearTimeout(this.retryTimer);
    this.source?.close();
    const s = new EventSource("/api/nines/v1/events");
    this.source = s;
    this.heard = Date.now();
    s.addEventListener("open", () => this.up());
    s.addEventListener("status", (e) => {
      this.up();
      this.take(JSON.parse((e as MessageEvent<string>).data) as Overview);
    });
    s.addEventListener("ping", (e) => {
      this.up();
      const { now } = JSON.parse((e as MessageEvent<string>).data) as { now: number };
      this.offset = now - Date.now();
    });
    s.addEventListener("alert", () => this.loadAlertsSoon());
    s.addEventListener("error", () => this.down());
  }

  private up() {
    this.heard = Date.now();
    this.retry = RETRY_FIRST;
    this.lostAt = 0;
    this.problem = "";
    if (!this.connected) {
      this.connected = true;
      this.loadAlertsSoon();
      this.hostsAt = 0;
      void this.loadHosts();
    }
  }

  private down() {
    this.source?.close();
    if (this.connected || this.lostAt === 0) this.lostAt = this.connected ? this.heard : Date.now();
    this.connected = false;
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(() => this.connect(), this.retry);
    this.retry = Math.min(RETRY_MOST, this.retry * 2);
  }

  private reconnectNow() {
    if (!this.connected) this.connect();
  }

  private second() {
    this.now = Date.now();
    if (this.connected && this.now - this.heard > SILENCE) this.down();
    if (this.connected && !document.hidden) void this.loadHosts();
  }

  private take(o: Overview) {
    const before = this.overview;
    this.overview = o;
    this.offset = o.now - Date.now();
    const a = before?.alerts;
    if (!a || a.page !== o.alerts.page || a.ticket !== o.alerts.ticket || a.advisory !== o.alerts.advisory) this.loadAlertsSoon();
  }

  private loadAlertsSoon() {
    if (this.alertsTimer) return;
    this.alertsTimer = setTimeout(() => {
      this.alertsTimer = undefined;
      get<Alert[]>("/api/nines/v1/alerts").then(
        (a) => (this.alerts = a),
        (e: unknown) => (this.problem = words(e)),
      );
    }, 100);
  }

  /** Hosts change slowly: read every 5 s while somebody looks. */
  private async loadHosts() {
    if (Date.now() - this.hostsAt < 5000) return;
    this.hostsAt = Date.now();
    try {
      this.hosts = await get<Host[]>("/api/nines/v1/hosts");
    } catch (e) {
      this.problem = words(e);
    }
  }
}

let live: Live | undefined;

export function useLive(): Live {
  live ??= new Live();
  return live;
}
