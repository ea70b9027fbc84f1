// The real command line in a real process: exit codes, what goes where, and never a stack trace for a user's mistake.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const main = join(import.meta.dirname, "..", "main.ts");
let directory = "";

const table = `services:
  checkout: { baseline: [checkout:8080] }
  pricing:
sandboxes:
  pr-7: { services: { checkout: [10.0.0.7:8080] } }
  pr-9: { services: { checkout: [10.0.0.8:8080], pricing: [10.0.0.9:8080] } }
groups:
  release-42: { sandboxes: [pr-7, pr-9] }
`;
const config = `service: checkout
listeners:
  - { direction: inbound, address: 127.0.0.1:0, target: 127.0.0.1:8080 }
table: { file: routes.yaml }
tenancy: { carriers: [{ baggage: sidelane }, { header: x-sandbox }] }
`;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "sidelane-test-"));
  writeFileSync(join(directory, "routes.yaml"), table);
  writeFileSync(join(directory, "sidelane.yaml"), config);
  writeFileSync(
    join(directory, "bad-table.yaml"),
    "services:\n  a: { hots: [a] }\nsandboxes:\n  x: { services: { a: [nowhere] } }\n",
  );
  writeFileSync(join(directory, "bad-config.yaml"), "service: a\nlisteners: []\ntable: { file: routes.yaml }\n");
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function sidelane(...argv: string[]): Promise<Outcome> {
  const env = { ...process.env, NO_COLOR: "1" };
  const child = spawn(process.execPath, [main, ...argv], { cwd: directory, env, stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, out, err })));
}

describe("exit code 2, misused", () => {
  test.each([
    [[]],
    [["chek", "routes.yaml"]],
    [["check"]],
    [["check", "--strict", "routes.yaml"]],
    [["proxy"]],
    [["explain", "--table", "routes.yaml"]],
    [["explain", "--service", "checkout"]],
    [["explain", "--table", "routes.yaml", "--service", "checkout", "--header", "baggage"]],
    [["completion", "tcsh"]],
  ])("%j", async (argv) => {
    const { code, out, err } = await sidelane(...argv);
    expect(code).toBe(2);
    expect(out).toBe("");
    expect(err).not.toBe("");
    expect(err).not.toMatch(/^\s+at /mu);
  });
});

describe("check", () => {
  test("good files, told apart by content; warnings do no harm", async () => {
    const { code, out } = await sidelane("check", "routes.yaml", "sidelane.yaml");
    expect(out).toMatch(/^routes\.yaml:\d+:\d+: warning: .*pr-7.*pr-9/mu);
    expect(out).toContain("routes.yaml: table, 2 services, 2 sandboxes, 1 group: good");
    expect(out).toContain("sidelane.yaml: proxy config of checkout, 1 listener: good");
    expect(code).toBe(0);
  });

  test("all problems of all files, with their places", async () => {
    const { code, out, err } = await sidelane("check", "bad-table.yaml", "bad-config.yaml", "none.yaml", "routes.yaml");
    expect(out).toMatch(/^bad-table\.yaml:2:\d+: .*hots.*hosts/mu);
    expect(out).toMatch(/^bad-config\.yaml:2:\d+: /mu);
    expect(out).toContain("none.yaml: cannot be read, no such file, check the path");
    expect(out).toContain("routes.yaml: table");
    expect(err).toBe("");
    expect(code).toBe(1);
  });
});

describe("check of a config and the table it names", () => {
  const write = (name: string, text: string): void => writeFileSync(join(directory, name), text);

  test("a table that is not there, or is no file, is a warning at the field", async () => {
    write("no-table.yaml", config.replace("routes.yaml", "later.yaml"));
    write("folder-table.yaml", config.replace("routes.yaml", "."));
    const { code, out } = await sidelane("check", "no-table.yaml", "folder-table.yaml");
    expect(out).toMatch(/^no-table\.yaml:4:16: warning: table\.file later\.yaml: cannot be read, no such file/mu);
    expect(out).toMatch(/^folder-table\.yaml:4:16: warning: table\.file .*: not a file/mu);
    expect(code).toBe(0);
  });

  test("a service or port that the table does not have is a warning at the field", async () => {
    write("ports.yaml", "services:\n  checkout: { ports: { http: 80, grpc: 81 } }\n");
    write("service.yaml", config.replace("service: checkout", "service: chekout"));
    write("port.yaml", config.replace("routes", "ports").replace("target:", "port: htp, target:"));
    write("portless.yaml", config.replace("routes", "ports"));
    write("any-port.yaml", config.replace("target:", "port: http, target:")); // checkout has one port without a name
    const { code, out } = await sidelane("check", "service.yaml", "port.yaml", "portless.yaml", "any-port.yaml");
    expect(out.split("\n").filter((line) => line.includes("warning"))).toEqual([
      "service.yaml:1:10: warning: service chekout is not in routes.yaml, no key can reach it, did you mean checkout?",
      "port.yaml:3:55: warning: listener inbound has port htp, and in ports.yaml service checkout has the ports http, grpc, no key can reach it, write port: http",
      "portless.yaml:3:5: warning: listener inbound has no port, and in ports.yaml service checkout has the ports http, grpc, no key can reach it, write port: http",
    ]);
    expect(code).toBe(0);
  });

  test("a stamp whose key nobody has is a warning at the field", async () => {
    const outbound = config.replace("}\ntable", "}\n  - { direction: outbound, address: 127.0.0.1:0 }\ntable");
    write("stamp.yaml", outbound.replace("tenancy: {", "tenancy: { stamp: release-4, "));
    write("stamp-reject.yaml", outbound.replace("tenancy: {", "tenancy: { stamp: nightly, onUnknownKey: reject, "));
    write("stamp-good.yaml", outbound.replace("tenancy: {", "tenancy: { stamp: pr-7, "));
    const { code, out } = await sidelane("check", "stamp.yaml", "stamp-reject.yaml", "stamp-good.yaml");
    expect(out.split("\n").filter((line) => line.includes("warning"))).toEqual([
      "stamp.yaml:6:19: warning: no sandbox or group of routes.yaml has the key release-4, the baseline answers all of it, did you mean release-42?",
      "stamp-reject.yaml:6:19: warning: no sandbox or group of routes.yaml has the key nightly, what is stamped with it is refused, add the sandbox, or remove it",
    ]);
    expect(code).toBe(0);
  });

  test("TLS for a service that the table does not have is a warning, TLS files that cannot be used are errors", async () => {
    write("tls-service.yaml", `${config}upstreamTls: { prycing: {}, checkout: {}, pricing: {} }\n`);
    write("tls-files.yaml", `${config}upstreamTls: { pricing: { ca: none.crt } }\n`);
    const { code, out } = await sidelane("check", "tls-service.yaml", "tls-files.yaml");
    expect(out.split("\n").filter((line) => line.startsWith("tls"))).toEqual([
      "tls-service.yaml:6:16: warning: service prycing is not in routes.yaml, nothing is sent to it, with or without TLS, did you mean pricing?",
      "tls-service.yaml: proxy config of checkout, 1 listener: good",
      "tls-files.yaml:6:31: upstreamTls.pricing.ca: none.crt does not exist, check the path",
    ]);
    expect(code).toBe(1);
    const started = await sidelane("proxy", "--config", "tls-files.yaml");
    expect(started).toMatchObject({
      code: 1,
      err: "tls-files.yaml:6:31: upstreamTls.pricing.ca: none.crt does not exist, check the path\n",
    });
  });

  test("the problems of its table are printed too, once", async () => {
    write("table-bad.yaml", config.replace("routes", "bad-table"));
    const alone = await sidelane("check", "table-bad.yaml");
    const both = await sidelane("check", "table-bad.yaml", "bad-table.yaml");
    expect(alone.out).toMatch(/^bad-table\.yaml:2:\d+: .*hots/u);
    expect(both.out.match(/hots/gu)).toHaveLength(1);
    expect([alone.code, both.code]).toEqual([1, 1]);
  });
});

describe("one kind of file in the place of the other", () => {
  test.each([
    [["proxy", "--config", "routes.yaml"], "routes.yaml:1:1: this is a routing table, not a proxy config"],
    [["explain", "--config", "routes.yaml", "--service", "a"], "routes.yaml:1:1: this is a routing table"],
    [["explain", "--table", "sidelane.yaml", "--service", "a"], "sidelane.yaml:1:1: this is a proxy config"],
  ])("%j", async (argv, message) => {
    const { code, err } = await sidelane(...argv);
    expect(err.startsWith(message)).toBe(true);
    expect(err.trimEnd().split("\n")).toHaveLength(1);
    expect(code).toBe(1);
  });
});

describe("explain", () => {
  test.each([
    ["", "write the host only, as in checkout"],
    ["http://checkout/", "write the host only: checkout"],
    ["https://me@checkout:8080/a?b", "write the host only: checkout:8080"],
    ["checkout/a", "write the host only: checkout"],
  ])("--service %j is misuse", async (service, hint) => {
    const { code, out, err } = await sidelane("explain", "--table", "routes.yaml", "--service", service);
    expect(err).toMatch(new RegExp(`${hint}\n$`, "u"));
    expect(out).toBe("");
    expect(code).toBe(2);
  });

  test("from a table alone", async () => {
    const { code, out } = await sidelane(
      ...[
        "explain",
        "--table",
        "routes.yaml",
        "--service",
        "pricing",
        "--header",
        "baggage: a=b, sidelane=release-42;x",
      ],
    );
    expect(out).toContain("pricing with key release-42 goes to sandbox pr-9 (sandbox)");
    expect(out).toContain("10.0.0.9:8080");
    expect(code).toBe(0);
  });

  test("as a config decides, in JSON: its table, its carriers, its inbound listener", async () => {
    const { code, out } = await sidelane(
      ...["explain", "--config", "sidelane.yaml", "--service", "checkout", "--json"],
      ...["--header", "x-other: 1", "--header", "X-Sandbox: pr-77"],
    );
    expect(JSON.parse(out)).toMatchObject({
      key: "pr-77",
      carrier: "header: x-sandbox",
      reason: "unknown-key",
      destination: "baseline",
      endpoints: [{ endpoints: ["127.0.0.1:8080"] }],
    });
    expect(code).toBe(0);
  });

  test("an edge: who calls, and what they bring in the query", async () => {
    const edge = config
      .replace("target:", "edge: true, target:")
      .replace("tenancy: {", "tenancy: { edge: { carriers: [{ query: sandbox }], callers: [10.0.0.0/8] }, ");
    writeFileSync(join(directory, "edge.yaml"), edge);
    const ask = ["explain", "--config", "edge.yaml", "--path", "/?sandbox=pr-7", "--header", "baggage: sidelane=pr-9"];
    const outside = await sidelane(...ask, "--caller", "203.0.113.9");
    expect(outside.out).toContain("checkout with key pr-7 goes to sandbox pr-7 (sandbox)");
    const inside = await sidelane(...ask, "--caller", "10.1.2.3");
    expect(inside.out).toContain("checkout with key pr-9 goes to sandbox pr-9 (sandbox)");
    const nobody = await sidelane(...ask, "--caller", "me");
    expect(nobody.err).toBe('error: "me" is no address, write the caller\'s as in 10.1.2.3\n');
    expect([outside.code, inside.code, nobody.code]).toEqual([0, 0, 2]);
  });

  test("without a config: the host names the service, and there is no edge", async () => {
    const host = ["explain", "--table", "routes.yaml", "--header", "Host: pricing:80"];
    expect((await sidelane(...host)).out).toContain("pricing without a key goes to the baseline (no-key)");
    expect(await sidelane(...host, "--caller", "10.1.2.3")).toMatchObject({ code: 2, out: "" });
  });

  test("a bad table is refused with its problems", async () => {
    const { code, out, err } = await sidelane("explain", "--table", "bad-table.yaml", "--service", "a");
    expect(err).toMatch(/^bad-table\.yaml:2:\d+: /mu);
    expect(out).toBe("");
    expect(code).toBe(1);
  });
});

test("--version", async () => {
  const { code, out } = await sidelane("--version");
  expect(out).toMatch(/^\d+\.\d+\.\d+\n$/u);
  expect(code).toBe(0);
});
