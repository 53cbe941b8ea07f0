// Repeats a read while somebody looks at the page.

/**
 * Calls `run` at once and again `period()` milliseconds after each call ended,
 * not while the tab is hidden; returns what stops it. A read under way is
 * aborted by its signal when stopped. Call it within an $effect.
 */
export function every(period: () => number, run: (signal: AbortSignal) => Promise<void>): () => void {
  const abort = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  const loop = async () => {
    if (!document.hidden) await run(abort.signal).catch(() => undefined);
    if (!stopped) timer = setTimeout(loop, period());
  };
  const wake = () => {
    if (!document.hidden && timer !== undefined) {
      clearTimeout(timer);
      timer = undefined;
      void loop();
    }
  };
  document.addEventListener("visibilitychange", wake);
  void loop();
  return () => {
    stopped = true;
    clearTimeout(timer);
    abort.abort();
    document.removeEventListener("visibilitychange", wake);
  };
}
