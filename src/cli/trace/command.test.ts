// `sidelane trace` as a process, against admin servers that are real and journals that are made up.
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { deadPort } from "../../../test/support/requests.ts";
import type { AdminBackend, JournalAnswer } from "../../admin/backend.ts";
import { startAdmin } from "../../admin/server.ts";
import { silentLog } from "../../base/log.ts";
import { NO_JOURNAL, comparableTrace } from "../../telemetry/journal-entry.ts";
import { traced } from "./fixture.ts";
import type { TracedEntry } from "./traced-entry.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT = `00-${TRACE}-00f067aa0ba902b7-01`;
const main = join(import.meta.dirname, "..", "..", "main.ts");

interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function trace(...argv: string[]): Promise<Outcome> {
  const env = { ...process.env, NO_COLOR: "1" };
  const child = spawn(process.execPath, [main, "trace", ...argv], { env, stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, out, err })));
}

/** The admin address of a sidecar that remembers these; `answers` is what it says to one question after the other. */
async function sidecar(service: string, ...answers: (readonly TracedEntry[])[]): Promise<string> {
  let asked = 0;
  const backend: Pick<AdminBackend, "journal"> = {
    journal({ trace: wanted = "" }) {
      const known = answers[Math.min(asked++, answers.length - 1)] ?? [];
      const entries = known.map(({ entry }) => entry);
      const kept: Partial<JournalAnswer> =
        entries.length === 0 ? {} : { entriesMax: 1000, kept: entries.length, oldest: entries[0]?.time ?? null };
      const found = entries.filter((entry) => comparableTrace(entry.trace) === comparableTrace(wanted));
      return Promise.resolve({ service, ...NO_JOURNAL, ...kept, entries: found });
    },
  };
  const admin = await startAdmin("127.0.0.1:0", backend as AdminBackend, silentLog);
  onTestFinished(() => admin.close());
  return admin.address;
}

/** An address at which nobody listens. */
const nobody = async (): Promise<string> => `127.0.0.1:${await deadPort()}`;

const front = [
  traced("front", "in", "front", [0, 41.2], { path: "/cart" }),
  traced("front", "out", "checkout", [5, 35.1], {
    span: "b",
    destination: "pr-7",
    reason: "sandbox",
    method: "POST",
    path: "/order",
  }),
];
const checkout = [
  traced("checkout", "in", "checkout", [6, 34], { span: "b", destination: "pr-7", reason: "self", method: "POST" }),
];

describe("the path of a request", () => {
  test("as a tree, from several sidecars, by its traceparent; who cannot be asked is named", async () => {
    const [one, two, gone] = await Promise.all([sidecar("front", front), sidecar("checkout", checkout), nobody()]);
    const { code, out, err } = await trace(TRACEPARENT, "--admin", one, `http://${two}/`, "--admin", gone, one);
    expect(out.split("\n")).toEqual([
      `trace ${TRACE}  key pr-7  2 services  41.2 ms`,
      "front        baseline  not-in-sandbox  200  41.2 ms  GET /cart",
      "└─ checkout  pr-7      sandbox         200  30.1 ms  POST /order",
      "",
    ]);
    expect(err).toBe(`not asked: ${gone}: connection refused\n`);
    expect(code).toBe(0);
  });

  test("as JSON", async () => {
    const [one, gone] = await Promise.all([sidecar("front", front), nobody()]);
    const { code, out } = await trace(TRACE, "--admin", one, gone, "--json");
    expect(JSON.parse(out)).toMatchObject({
      trace: TRACE,
      keys: ["pr-7"],
      services: 2,
      durationMs: 41.2,
      hops: [
        { service: "front", entries: [{ path: "/cart" }], children: [{ service: "checkout", destination: "pr-7" }] },
      ],
      sidecars: [
        { address: one, service: "front", entriesMax: 1000, kept: 2, found: 2, truncated: false },
        { address: gone, error: "connection refused" },
      ],
    });
    expect(code).toBe(0);
  });

  test("of which a sidecar has more than it is asked for", async () => {
    const many = Array.from({ length: 250 }, (_, i) => traced("front", "in", "front", [i, i + 0.5]));
    const [one, two] = await Promise.all([sidecar("front", many), sidecar("checkout", checkout)]);
    const { err } = await trace(TRACE, "--admin", one, two);
    expect(err).toBe(`not all: ${one} (front): only the newest 250 entries of this trace\n`);
    const { out } = await trace(TRACE, "--admin", one, two, "--json");
    expect(JSON.parse(out)).toMatchObject({ sidecars: [{ found: 250, truncated: true }, { truncated: false }] });
  });

  test("with --wait: once it is there, nothing of it runs and nothing is added", async () => {
    const [arrived] = checkout;
    const running = { ...arrived, entry: { ...arrived?.entry, durationMs: null } } as TracedEntry;
    const [one, two] = await Promise.all([
      sidecar("front", [], front),
      sidecar("checkout", [], [], [running], checkout),
    ]);
    const { code, out } = await trace(TRACE, "--admin", one, two, "--wait", "--json");
    const { hops } = JSON.parse(out) as { readonly hops: readonly { readonly children: readonly object[] }[] };
    expect(hops[0]?.children).toMatchObject([{ service: "checkout", entries: [{}, { durationMs: 28 }] }]);
    expect(code).toBe(0);
  });
});

describe("exit code 1, with advice", () => {
  test("nobody knows the trace", async () => {
    const addresses = await Promise.all([sidecar("front", front), sidecar("checkout", []), nobody()]);
    const { code, out, err } = await trace("feed", "--admin", ...addresses);
    expect(out).toBe("");
    expect(err).toContain("nothing is known of trace feed\n");
    expect(err).toMatch(/127\.0\.0\.1:\d+ \(front\): 2 of 1000 entries, the oldest \d+ (?:s|min|h) old\n/u);
    expect(err).toMatch(/127\.0\.0\.1:\d+ \(checkout\): the journal is off, limits\.journalEntriesMax is 0\n/u);
    expect(err).toMatch(/127\.0\.0\.1:\d+: connection refused\n/u);
    expect(err).toContain("Check that the request carried a key");
    expect(code).toBe(1);
  });

  test("as JSON, too", async () => {
    const { code, out, err } = await trace("feed", "--admin", await sidecar("front", front), "--json");
    expect(JSON.parse(out)).toMatchObject({ trace: "feed", keys: [], services: 0, hops: [], sidecars: [{ found: 0 }] });
    expect(err).toBe("");
    expect(code).toBe(1);
  });

  test("nobody could be asked: other servers, and none", async () => {
    const server = createServer((request, response) => {
      if (request.url?.startsWith("/old") === true) {
        response.writeHead(404, { "content-type": "application/problem+json" });
        response.end(JSON.stringify({ detail: 'there is nothing at "/journal"' }));
      } else response.end("hello");
    });
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const { code, err } = await trace("feed", "--admin", url, `${url}/old/`, await nobody());
    expect(err).toContain(`${url}: answered with something else than a journal`);
    expect(err).toContain(`${url}/old/: answered with status 404: there is nothing at "/journal"`);
    expect(err).toContain("No sidecar could be asked");
    expect(code).toBe(1);
  });

  test("a port that clients do not ask", async () => {
    const { err } = await trace("feed", "--admin", "127.0.0.1:6000");
    expect(err).toContain("127.0.0.1:6000: no client asks on this port, let admin.address have another one\n");
  });
});

describe("exit code 2, misused", () => {
  test.each([
    [[TRACE], "--admin"],
    [["--admin", "127.0.0.1:15000"], "missing required argument 'id'"],
    [[TRACE, "--admin", "--json"], "--admin lacks an address"],
    [[TRACE, "--admin", "15000"], "the host is missing, write 127.0.0.1:15000"],
    [[TRACE, "--admin", "http://127.0.0.1:99999"], "no address of an admin server"],
    [[TRACE, "--admin", "http://127.0.0.1:1/?x"], "no address of an admin server"],
    [[" ", "--admin", "127.0.0.1:15000"], "the trace id is empty"],
  ])("%j", async (argv, message) => {
    const { code, out, err } = await trace(...argv);
    expect(err).toContain(message);
    expect(err).not.toMatch(/^\s+at /mu);
    expect(out).toBe("");
    expect(code).toBe(2);
  });
});
