import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setImmediate } from "node:timers/promises";
import * as fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import type { LogFields } from "../base/log.ts";
import { AccessLog, type AccessLogEntry, accessLogLine } from "./access-log.ts";

const folder = mkdtempSync(join(tmpdir(), "sidelane-access-log-"));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
const newFile = (): string => join(folder, `${++files}.log`);
const read = (file: string): unknown[] =>
  readFileSync(file, "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line) as unknown);

const entry: AccessLogEntry = {
  listener: "inbound",
  direction: "inbound",
  client: "10.0.0.1:40000",
  method: "GET",
  host: "checkout",
  path: "/cart?id=1",
  protocol: "http1",
  service: "checkout",
  key: "pr-7",
  destination: "pr-7",
  reason: "sandbox",
  status: 200,
  endpoint: "10.0.0.7:8080",
  requestBytes: 0,
  responseBytes: 512,
  durationMs: 7.12345,
  connectMs: 0.25,
  traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
  userAgent: "curl/8.5.0",
};

describe("wants", () => {
  test("nothing while the log is off, and nothing is opened", async () => {
    const log = new AccessLog({ enabled: false, file: join(folder, "missing", "never.log") });
    expect([log.wants(200), log.wants(500), log.wants(200, true)]).toEqual([false, false, false]);
    await log.close();
  });

  test("everything by default", async () => {
    const log = new AccessLog({ enabled: true, file: newFile() });
    expect([log.wants(200), log.wants(404), log.wants(503)]).toEqual([true, true, true]);
    await log.close();
  });

  test("errors only: 400 and above, or failed behind a good status", async () => {
    const log = new AccessLog({ enabled: true, file: newFile(), errorsOnly: true });
    expect([log.wants(200), log.wants(399), log.wants(400), log.wants(503), log.wants(200, true)]).toEqual([
      false,
      false,
      true,
      true,
      true,
    ]);
    await log.close();
  });

  test("a sample of them", async () => {
    const lots = [0, 0.24, 0.25, 0.26, 0.99];
    const log = new AccessLog({ enabled: true, file: newFile(), sample: 0.25, random: () => lots.shift() ?? 1 });
    expect(Array.from({ length: 5 }, () => log.wants(200))).toEqual([true, true, false, false, false]);
    await log.close();
    expect(new AccessLog({ enabled: true, sample: 0 }).wants(500)).toBe(false);
  });
});

describe("write", () => {
  test("one JSON object per line, keys in a fixed order, everything there after close", async () => {
    const file = newFile();
    const log = new AccessLog({ enabled: true, file, wallMs: () => Date.UTC(2026, 0, 2, 3, 4, 5, 6) });
    log.write(entry);
    const { connectMs: _, ...reused } = entry;
    log.write(reused);
    await log.close();
    const [first, second] = read(file);
    expect(JSON.stringify(first)).toBe(
      '{"timestamp":"2026-01-02T03:04:05.006Z","listener":"inbound","direction":"inbound","client":"10.0.0.1:40000",' +
        '"method":"GET","host":"checkout","path":"/cart?id=1","protocol":"http1","service":"checkout","key":"pr-7",' +
        '"destination":"pr-7","reason":"sandbox","status":200,"endpoint":"10.0.0.7:8080","requestBytes":0,' +
        '"responseBytes":512,"durationMs":7.123,"connectMs":0.25,"traceId":"4bf92f3577b34da6a3ce929d0e0e4736",' +
        '"userAgent":"curl/8.5.0"}',
    );
    expect(second).not.toHaveProperty("connectMs");
  });

  test("appends to what is there", async () => {
    const file = newFile();
    for (let i = 0; i < 2; i++) {
      const log = new AccessLog({ enabled: true, file });
      log.write(entry);
      await log.close();
    }
    expect(read(file).length).toBe(2);
  });

  test("memory is bounded: what does not fit is counted, the rest is written whole, and it is said once", async () => {
    const file = newFile();
    const warnings: (LogFields | undefined)[] = [];
    const log = new AccessLog({
      enabled: true,
      file,
      log: { debug() {}, info() {}, warn: (_, fields) => warnings.push(fields), error() {} },
    });
    // In one turn of the event loop, so that no write can finish in between.
    for (let i = 0; i < 5000; i++) log.write({ ...entry, path: `/${i}` });
    expect(log.droppedLines).toBeGreaterThan(0);
    expect(warnings.length).toBe(1);
    await log.close();
    expect(read(file).length).toBe(5000 - log.droppedLines);
    expect(warnings.at(-1)).toEqual({ droppedLines: log.droppedLines });
  });

  test("after close lines are counted as dropped; closing twice is harmless", async () => {
    const file = newFile();
    const log = new AccessLog({ enabled: true, file });
    await log.close();
    log.write(entry);
    await log.close();
    expect([log.droppedLines, read(file).length]).toEqual([1, 0]);
  });

  test("a line is on its way without close", async () => {
    const file = newFile();
    const log = new AccessLog({ enabled: true, file });
    log.write(entry);
    while (readFileSync(file).length === 0) await setImmediate();
    expect(read(file).length).toBe(1);
    await log.close();
  });

  test("a file that cannot be opened stops the start", () => {
    expect(() => new AccessLog({ enabled: true, file: folder })).toThrow(/EISDIR/);
  });

  test("a reader of standard output that goes away ends the log, not the process", async () => {
    const source = new URL("./access-log.ts", import.meta.url).href;
    const child = spawn(
      process.execPath,
      [
        "--input-type=module",
        "--eval",
        `import { AccessLog } from ${JSON.stringify(source)};
         const warnings = [];
         const log = new AccessLog({ enabled: true, log: { debug() {}, info() {}, warn: (text) => warnings.push(text), error() {} } });
         const entry = ${JSON.stringify(entry)};
         process.stdin.once("data", () => {
           const timer = setInterval(() => {
             for (let i = 0; i < 20; i++) log.write(entry);
             if (log.droppedLines === 0) return;
             clearInterval(timer);
             process.stdin.destroy();
             log.close().then(() => console.error(JSON.stringify(warnings)));
           }, 1);
         });`,
      ],
      { stdio: ["pipe", "pipe", "pipe"] },
    );
    child.stdout.destroy();
    await once(child.stdout, "close");
    child.stdin.write("go");
    const [[code], said] = await Promise.all([once(child, "exit"), text(child.stderr)]);
    expect([code, said.trim()]).toEqual([0, '["access log cannot be written"]']);
  });
});

describe("injection", () => {
  const nasty = fc.string({
    unit: fc.oneof(
      fc.constantFrom(
        "\n",
        "\r",
        "\u0000",
        "\u001b",
        '"',
        "\\",
        "\u007f",
        "\u0085",
        "\u009b",
        "\u2028",
        "\u2029",
        "\ud800",
        "}",
      ),
      fc.string({ unit: "binary", minLength: 1, maxLength: 1 }),
    ),
    maxLength: 30,
  });

  test("whatever a peer sends, a line is one line, has the keys it should and gives the text back", () => {
    const keys = Object.keys(JSON.parse(accessLogLine(entry, 0)) as object);
    fc.assert(
      fc.property(nasty, nasty, nasty, nasty, (path, userAgent, key, host) => {
        const line = accessLogLine({ ...entry, path, userAgent, key, host, method: path }, 0);
        expect(line.endsWith("\n")).toBe(true);
        expect(line.slice(0, -1)).not.toMatch(/[\p{Cc}\u2028\u2029]/u);
        const parsed = JSON.parse(line) as Record<string, unknown>;
        expect(Object.keys(parsed)).toEqual(keys);
        expect(parsed).toMatchObject({ path, userAgent, key, host, method: path });
      }),
      { numRuns: 500 },
    );
  });

  test("long values are cut and marked", () => {
    const line = JSON.parse(accessLogLine({ ...entry, path: `/${"x".repeat(60_000)}` }, 0)) as AccessLogEntry;
    expect(line.path.length).toBe(1025);
    expect(line.path.endsWith("x…")).toBe(true);
  });
});
