// Reads the API. Every error becomes words that can be shown as they are.

export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** Reads JSON from this origin. */
export async function get<T>(path: string, params: Record<string, string | number> = {}, signal?: AbortSignal): Promise<T> {
  const query = new URLSearchParams();
  for (const [k, v] of Object.entries(params)) query.set(k, String(v));
  const url = query.size > 0 ? `${path}?${query}` : path;
  const answer = await fetch(url, { signal: signal ?? null, headers: { Accept: "application/json" } }).catch((e: unknown) => {
    if (e instanceof DOMException && e.name === "AbortError") throw e;
    throw new ApiError("nines does not answer", 0);
  });
  const body: unknown = await answer.json().catch(() => null);
  if (!answer.ok) {
    const said = body && typeof body === "object" && "error" in body ? String(body.error) : `status ${answer.status}`;
    throw new ApiError(said, answer.status);
  }
  return body as T;
}

/** Words for any error. */
export function words(e: unknown): string {
  return e instanceof Error ? e.message : String(e);
}

export function isAbort(e: unknown): boolean {
  return e instanceof DOMException && e.name === "AbortError";
}
