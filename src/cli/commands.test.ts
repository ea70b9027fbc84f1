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

describe("explain", () => {
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
