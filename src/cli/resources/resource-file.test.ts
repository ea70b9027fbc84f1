import { describe, expect, test } from "vitest";
import { formatProblem } from "../../config/problem.ts";
import { readResources } from "./resource-file.ts";
import type { FileDefaults } from "./resource-file.ts";

const read = (text: string, defaults: FileDefaults = {}) => {
  const { resources, problems } = readResources(text, "f.yaml", defaults);
  const plain = resources.map(({ kind, name, spec, at }) => ({ kind, name, spec, at }));
  return { resources: plain, problems: problems.map(formatProblem) };
};

describe("files of resources", () => {
  test("several documents, each with where it begins; what the control plane writes is left out", () => {
    const text = `# two of them
kind: sandbox
name: pr-7
version: 3
services: { checkout: ["10.0.0.7:8080"] }
status: { conditions: [] }
---
{ kind: group, name: g, sandboxes: [pr-7] }
--- # nothing
---
kind: service
name: cart
`;
    expect(read(text)).toEqual({
      resources: [
        { kind: "sandbox", name: "pr-7", spec: { services: { checkout: ["10.0.0.7:8080"] } }, at: "f.yaml:2:1" },
        { kind: "group", name: "g", spec: { sandboxes: ["pr-7"] }, at: "f.yaml:8:1" },
        { kind: "service", name: "cart", spec: {}, at: "f.yaml:11:1" },
      ],
      problems: [],
    });
  });

  test("kind and name may come from the command line", () => {
    expect(read("services: { a: [b:1] }", { kind: "sandbox", name: "pr-7" }).resources).toMatchObject([
      { kind: "sandbox", name: "pr-7" },
    ]);
    expect(read("name: pr-8", { kind: "sandbox", name: "pr-7" }).problems).toEqual([
      "f.yaml:1:7: the name here is pr-8, and the command line says pr-7, leave one of them out",
    ]);
  });

  test("a whole table, with its own problems", () => {
    const table = `services:
  checkout: { baseline: ["checkout:8080"] }
sandboxes:
  pr-7: { services: { checkout: ["10.0.0.7:8080"] } }
groups:
  g: { sandboxes: [pr-7] }
`;
    expect(read(table).resources).toEqual([
      { kind: "service", name: "checkout", spec: { baseline: ["checkout:8080"] }, at: "f.yaml:2:3" },
      { kind: "sandbox", name: "pr-7", spec: { services: { checkout: ["10.0.0.7:8080"] } }, at: "f.yaml:4:3" },
      { kind: "group", name: "g", spec: { sandboxes: ["pr-7"] }, at: "f.yaml:6:3" },
    ]);
    expect(read(table.replace("[pr-7]", "[pr-8]")).problems[0]).toMatch(/^f\.yaml:6:\d+: .*pr-8/u);
  });

  test("what the control plane says of a field is told where the field is", () => {
    const text = "kind: group\nname: g\n---\nkind: sandbox\nname: a\nservices:\n  checkout: [a:1, 'b']\n  a/b: [c:1]\n";
    const { resources } = readResources(text, "f.yaml", {});
    const locate = resources[1]?.locate ?? String;
    const pointers = ["/services/checkout/1", "/services/checkout", "/services/a~1b", "/ttl", ""];
    expect(pointers.map((pointer) => locate(pointer))).toEqual([
      "f.yaml:7:19",
      "f.yaml:7:3",
      "f.yaml:8:3",
      "f.yaml:4:1",
      "f.yaml:4:1",
    ]);
    const table = readResources("sandboxes:\n  pr-7:\n    services: { a: [b:1] }\n", "t.yaml", {});
    expect(table.resources[0]?.locate("/services/a")).toBe("t.yaml:3:17");
  });

  test.each([
    [
      "kind: sandbx\nname: a",
      'f.yaml:1:7: there is no kind "sandbx", the kinds are service, sandbox, group, write sandbox',
    ],
    ["name: a", "f.yaml:1:1: the kind is missing, add kind: sandbox, kind: group or kind: service"],
    ["kind: sandbox", "f.yaml:1:1: the name is missing, add name: pr-7"],
    ["kind: sandbox\nname: 007", 'f.yaml:2:7: the name is no text, write "007" in quotes'],
    ["kind: sandbox\nname: a b", 'f.yaml:2:7: "a b" is not a name, " " cannot be part of a name, write a-b'],
    ["- a", "f.yaml:1:1: this is no map, write { kind: sandbox, name: pr-7, services: ... }"],
    ["kind: sandbox\nname: a\n---\nkind: {", "f.yaml:4:8: a map in { } has no end, add the missing }"],
  ])("%j", (text, problem) => {
    expect(read(text).problems).toEqual([problem]);
  });
});
