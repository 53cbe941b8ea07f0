import { expect, test } from "vitest";
import { hostLink, objectiveLink, parse } from "./route.svelte";

test.each([
  ["", { page: "overview" }],
  ["#/", { page: "overview" }],
  ["#/objective/api%2Fp99?group=ab-01", { page: "objective", name: "api/p99", group: "ab-01" }],
  ["#/objective/api/2", { page: "objective", name: "api/2", group: "" }],
  ["#/host/a.example", { page: "host", host: "a.example" }],
  ["#/host/%zz", { page: "host", host: "%zz" }],
  ["#/host/", { page: "missing", path: "/host/" }],
  ["#/contracts", { page: "contracts" }],
  ["#/pipeline", { page: "pipeline" }],
  ["#/mesh", { page: "mesh" }],
  ["#/contracts/x", { page: "missing", path: "/contracts/x" }],
  ["#/nonsense", { page: "missing", path: "/nonsense" }],
])("%s", (hash, want) => expect(parse(hash)).toEqual(want));

test("links lead back", () => {
  expect(parse(objectiveLink("a/b c", "x-1"))).toEqual({ page: "objective", name: "a/b c", group: "x-1" });
  expect(parse(hostLink("h/1"))).toEqual({ page: "host", host: "h/1" });
});
