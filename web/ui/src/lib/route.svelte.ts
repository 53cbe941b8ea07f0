// The page's address: hash routes, so that any of them can be bookmarked.

export type Route =
  | { page: "overview" }
  | { page: "objective"; name: string; group: string }
  | { page: "host"; host: string }
  | { page: "contracts" }
  | { page: "pipeline" }
  | { page: "mesh" }
  | { page: "missing"; path: string };

/** Reads a location hash. */
export function parse(hash: string): Route {
  const raw = hash.replace(/^#/, "");
  const [path = "", query = ""] = raw.split("?", 2);
  const parts = path.split("/").filter((p) => p !== "");
  const [head, ...rest] = parts;
  if (head === undefined) return { page: "overview" };
  if (head === "contracts" && rest.length === 0) return { page: "contracts" };
  if (head === "mesh" && rest.length === 0) return { page: "mesh" };
  if (head === "pipeline" && rest.length === 0) return { page: "pipeline" };
  const name = decode(rest.join("/"));
  if (head === "objective" && name) {
    return { page: "objective", name, group: new URLSearchParams(query).get("group") ?? "" };
  }
  if (head === "host" && name) return { page: "host", host: name };
  return { page: "missing", path: raw };
}

function decode(s: string): string {
  try {
    return decodeURIComponent(s);
  } catch {
    return s;
  }
}

export function objectiveLink(name: string, group = ""): string {
  const base = `#/objective/${encodeURIComponent(name)}`;
  return group ? `${base}?group=${encodeURIComponent(group)}` : base;
}

export function hostLink(host: string): string {
  return `#/host/${encodeURIComponent(host)}`;
}

class Router {
  route = $state<Route>(parse(location.hash));

  constructor() {
    addEventListener("hashchange", () => {
      const next = parse(location.hash);
      const moved = next.page !== this.route.page;
      this.route = next;
      if (moved) scrollTo(0, 0);
    });
  }
}

let router: Router | undefined;

/** The one router of the page. */
export function useRouter(): Router {
  router ??= new Router();
  return router;
}
