import { describe, expect, test } from "vitest";
import { loadConfig } from "./load-config.ts";
import { formatProblem } from "./problem.ts";
import { isPartialTable, tableScope } from "./table-scope.ts";

const text = (table: string, more = ""): string =>
  `service: checkout
listeners: [{ direction: inbound, address: "127.0.0.1:0", target: "127.0.0.1:8080" }]
table: ${table}
${more}`;

function load(table: string, more = "") {
  const result = loadConfig(text(table, more), "/etc/sidelane/sidelane.yaml", {});
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join("\n"));
  return result;
}

function problems(table: string, more = ""): readonly string[] {
  const result = loadConfig(text(table, more), "sidelane.yaml", {});
  return result.ok ? [] : result.problems.map(formatProblem);
}

describe("a table comes from one place", () => {
  test("a file, or a control plane", () => {
    expect(load("{ file: ./routes.yaml }").config.table).toEqual({ file: "/etc/sidelane/routes.yaml" });
    expect(load('{ control: "127.0.0.1:15021" }').config.table).toEqual({
      control: "127.0.0.1:15021",
      keep: "/var/lib/sidelane/checkout.table.json",
    });
  });

  test("both, neither, and what belongs to the other", () => {
    expect(problems('{ file: a.yaml, control: "127.0.0.1:15021" }')).toEqual([
      "sidelane.yaml:3:24: table has a file and a control plane (see sidelane.yaml:3:10), a table comes from one place, remove one of them",
    ]);
    expect(problems("{}")).toEqual([
      "sidelane.yaml:3:1: table says neither file nor control, the table has to come from somewhere, write file: ./routes.yaml, or control: host:15021 for a control plane",
    ]);
    expect(problems("{ file: a.yaml, services: [a] }")).toEqual([
      "sidelane.yaml:3:24: table has a file and services, services is for tables that come from a control plane, remove services, or write control: host:15021 in place of file",
    ]);
  });
});

describe("a control plane", () => {
  test("everything that can be said about it; beside a sandbox's copy another file is kept", () => {
    const table =
      '{ control: "control:15021", tls: { ca: ca.crt, certificate: a.crt, key: a.key, serverName: feed.example }, tokenFile: token, services: [ledger, checkout, billing] }';
    expect(load(table, "sandbox: pr-7\n").config.table).toEqual({
      control: "control:15021",
      tls: {
        ca: "/etc/sidelane/ca.crt",
        certificate: "/etc/sidelane/a.crt",
        key: "/etc/sidelane/a.key",
        serverName: "feed.example",
      },
      tokenFile: "/etc/sidelane/token",
      services: ["billing", "checkout", "ledger"],
      keep: "/var/lib/sidelane/checkout.pr-7.table.json",
    });
  });

  test("an address that is none", () => {
    expect(problems("{ control: http://control:15021 }")).toEqual([
      expect.stringMatching(
        /^sidelane\.yaml:3:19: "http:\/\/control:15021" is not host:port, .*, write control:15021$/u,
      ),
    ]);
    expect(problems("{ control: control }")).toEqual([
      expect.stringMatching(/^sidelane\.yaml:3:19: "control" is not host:port, /u),
    ]);
  });

  test("half a certificate, a name that is none, a service that is none", () => {
    expect(
      problems('{ control: "127.0.0.1:1", tls: { certificate: a.crt, serverName: 10.0.0.1 }, services: [a b] }'),
    ).toEqual([
      expect.stringContaining("TLS to the control plane has a certificate and no key"),
      expect.stringContaining(
        '"10.0.0.1" is not a server name, TLS asks for names, not for addresses, write a name that the control plane\'s certificate has',
      ),
      expect.stringContaining('"a b" is not a service name'),
    ]);
  });

  test("without TLS across a network draws a warning", () => {
    expect(load("{ control: control:15021 }").warnings.map(formatProblem)).toEqual([
      expect.stringContaining("the control plane control:15021 is spoken to without TLS"),
    ]);
    expect(load('{ control: "127.0.0.1:15021" }').warnings).toEqual([]);
  });
});

test("the scope: everything, some services, and with unknown keys refused the names of the rest", () => {
  const { config: all } = load('{ control: "127.0.0.1:15021" }', "tenancy: { onUnknownKey: reject }");
  expect([tableScope(all), isPartialTable(all)]).toEqual([{ services: [], names: false }, false]);
  const { config: some } = load('{ control: "127.0.0.1:15021", services: [ledger] }');
  expect([tableScope(some), isPartialTable(some)]).toEqual([{ services: ["checkout", "ledger"], names: false }, true]);
  const { config: named } = load(
    '{ control: "127.0.0.1:15021", services: [ledger] }',
    "tenancy: { onUnknownKey: reject }",
  );
  expect([tableScope(named), isPartialTable(named)]).toEqual([
    { services: ["checkout", "ledger"], names: true },
    false,
  ]);
});
