import { describe, expect, test } from "vitest";
import { documentOf, shop } from "./fixture.ts";
import type { Finding } from "./finding.ts";
import { FINDINGS_MAX, validate } from "./validate.ts";

const endpoints = ["10.0.0.1:80"];

function brief(findings: readonly Finding[]): readonly string[] {
  return findings.map(({ place, other, message }) => {
    const at = [place, ...(other === undefined ? [] : [other])].map(({ path }) => path.join("/"));
    return `${at.join(" + ")}: ${message}`;
  });
}

/** Positions and full wording: `config/golden`. Here: what is found at all, and that both places are named. */
describe("validate", () => {
  test("finds nothing in the table of the design", () => {
    const { problems, warnings } = validate(shop);
    expect(brief(problems)).toEqual([]);
    expect(brief(warnings)).toEqual([]);
  });

  test("one key for two", () => {
    const document = documentOf({
      sandboxes: { a: { services: { x: endpoints } }, b: { key: "a", services: { x: endpoints } } },
      groups: { g: { key: "a", sandboxes: ["a"] } },
    });
    expect(brief(validate(document).problems)).toEqual([
      'sandboxes/b/key + sandboxes/a: sandbox a and sandbox b have one routing key, "a"',
      'groups/g/key + sandboxes/a: sandbox a and group g have one routing key, "a"',
    ]);
  });

  test("one host for two, case and final dot aside", () => {
    const document = documentOf({
      services: { a: { hosts: ["x.example"] }, b: { hosts: ["X.Example."] }, "x.example": null },
      sandboxes: { s: { services: { c: endpoints, "X.example": endpoints } } },
    });
    expect(brief(validate(document).problems)).toEqual([
      "services/b/hosts/0 + services/a/hosts/0: host x.example is claimed by services a and b",
      "services/x.example + services/a/hosts/0: host x.example is claimed by services a and x.example",
      "sandboxes/s/services/X.example + services/a/hosts/0: host x.example is claimed by services a and X.example",
    ]);
  });

  test("an undeclared service is mentioned once, however many sandboxes have it", () => {
    const document = documentOf({
      services: { pay: { hosts: ["payments"] } },
      sandboxes: { a: { services: { payments: endpoints } }, b: { services: { payments: endpoints } } },
    });
    expect(validate(document).problems).toHaveLength(1);
  });

  test("unknown, repeated and nested members of a group", () => {
    const document = documentOf({
      sandboxes: { "pr-7": { services: { x: endpoints } } },
      groups: { g: { sandboxes: ["pr-7", "pr-77", "nothing", "pr-7", "h"] }, h: { sandboxes: ["pr-7"] } },
    });
    expect(brief(validate(document).problems)).toEqual([
      'groups/g/sandboxes/1 + sandboxes/pr-7: group g names sandbox "pr-77"',
      'groups/g/sandboxes/2: group g names sandbox "nothing"',
      "groups/g/sandboxes/3 + groups/g/sandboxes/0: group g names sandbox pr-7 twice",
      "groups/g/sandboxes/4 + groups/h: group g names h, which is a group",
    ]);
  });

  test("a group and a sandbox of one name, said once", () => {
    const document = documentOf({
      sandboxes: { a: { services: { x: endpoints } } },
      groups: { a: { sandboxes: ["a"] } },
    });
    expect(brief(validate(document).problems)).toEqual([
      "groups/a + sandboxes/a: a is the name of a group and of a sandbox",
    ]);
  });

  test("all ports of a service or none, in sandboxes and in the baseline", () => {
    const document = documentOf({
      services: { a: { ports: { http: 80, grpc: 90 }, baseline: { http: endpoints } } },
      sandboxes: { s: { services: { a: endpoints } }, t: { services: { a: { http: endpoints, grcp: endpoints } } } },
    });
    expect(brief(validate(document).problems)).toEqual([
      "services/a/baseline + services/a/ports/grpc: the baseline has service a but not its port grpc",
      "sandboxes/s/services/a + services/a/ports: sandbox s gives one list of endpoints for service a",
      'sandboxes/t/services/a/grcp + services/a/ports: sandbox t names port "grcp" of service a',
    ]);
  });

  test("ports that nobody declared", () => {
    const document = documentOf({
      services: { a: null, b: { ports: {} } },
      sandboxes: { s: { services: { a: { http: endpoints }, c: { http: endpoints } } } },
    });
    expect(brief(validate(document).problems)).toEqual([
      "services/b/ports: service b has an empty list of ports",
      'sandboxes/s/services/a/http + services/a: sandbox s names port "http" of service a',
      'sandboxes/s/services/c/http: sandbox s names port "http" of service c',
    ]);
  });

  test("a service with one named port takes a plain list", () => {
    const document = documentOf({
      services: { a: { ports: { http: 80 }, baseline: endpoints } },
      sandboxes: { s: { services: { a: endpoints } }, t: { services: { a: { http: endpoints } } } },
    });
    expect(validate(document).problems).toEqual([]);
  });

  test("a name that is no host needs hosts", () => {
    const document = documentOf({ services: { "1.2.3": null, "4.5.6": { hosts: ["fine"] }, "a..b": null } });
    expect(brief(validate(document).problems)).toEqual([
      "services/1.2.3: the name 1.2.3 is not a host",
      "services/a..b: the name a..b is not a host",
    ]);
  });

  test("warns about what is legal but odd", () => {
    const document = documentOf({
      services: { checkout: null },
      sandboxes: {
        a: { key: "käse", services: { checkout: ["10.0.0.1:80", "10.0.0.1:80"] } },
        b: { services: { checkout: endpoints, chekout: endpoints } },
        empty: { services: {} },
      },
      groups: { g: { sandboxes: ["a", "b"] } },
    });
    const { problems, warnings } = validate(document);
    expect(problems).toEqual([]);
    expect(brief(warnings)).toEqual([
      "sandboxes/a/services/checkout/1 + sandboxes/a/services/checkout/0: endpoint 10.0.0.1:80 is listed twice",
      "sandboxes/empty: sandbox empty changes no service",
      "groups/g/sandboxes/1 + groups/g/sandboxes/0: sandboxes a and b of group g both change service checkout",
      'sandboxes/a/key: routing key "käse" has characters that baggage percent-encodes',
      "sandboxes/b/services/chekout + services/checkout: service chekout is not declared, but checkout is",
    ]);
  });

  test("lists the first findings and counts the rest", () => {
    const sandboxes = Object.fromEntries(
      Array.from({ length: FINDINGS_MAX + 5 }, (_, index) => [`s${index}`, { key: "one", services: { x: endpoints } }]),
    );
    const { problems, problemsMore } = validate(documentOf({ sandboxes }));
    expect(problems).toHaveLength(FINDINGS_MAX);
    expect(problemsMore).toBe(4);
  });
});
