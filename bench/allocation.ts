// Bytes of JavaScript heap that one proxied request costs, held against a budget by `npm run check`, for each protocol with a
// proxy of its own. Garbage shows in p99 long before it shows in CPU.
//
// The young generation of the proxy is made so large that nothing is collected while a batch of requests runs: what the
// heap grew by is what was allocated. Batches are repeated and the median counts, because a compiler or a timer may fall
// into one of them.
//
// Usage: node bench/allocation.ts [--protocol http1|http2] [--command "node bench/peers/node-undici-tuned.ts"]
// (default: both, node src/main.ts proxy)

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { HeapReport, ProbeQuestion } from "./allocation-probe.ts";
import type { BackendPorts } from "./backends.ts";
import { RawHttp2Client } from "./load/http2-client.ts";
import { RawClient, startRawBackend } from "./load/raw.ts";
import { writeSidelaneConfig } from "./peers/sidelane.ts";
import { freePorts } from "./processes.ts";
import { projectFile } from "./project.ts";
import { digits, formatSpread, spread } from "./statistics.ts";
import { verifyHttp2 } from "./verify-http2.ts";
import { verifyHttp1 } from "./verify.ts";

/** What sends the requests, on a connection of its own. */
interface Client {
  send(count: number): Promise<void>;
  close(): void;
}

interface Backends {
  readonly ports: BackendPorts;
  close(): Promise<void>;
}

/** One protocol, its load and its budget. */
interface Subject {
  readonly name: string;
  /** The budget. Raise it only with the reason in docs/performance.md. */
  readonly heapBytesPerRequestMax: number;
  readonly connections: number;
  startBackends(): Promise<Backends>;
  /** Proves that the proxy routes. @returns the bytes of one answer. */
  verify(port: number): Promise<number>;
  connect(port: number, answerBytes: number): Promise<Client>;
}

const subjects: readonly Subject[] = [
  {
    name: "http1",
    // 540 to 860, by how many requests share a turn of the event loop: a turn alone allocates 190.
    heapBytesPerRequestMax: 950,
    connections: 4,
    async startBackends() {
      const [baseline, sandbox] = await Promise.all([startRawBackend("baseline"), startRawBackend("sandbox")]);
      return {
        ports: { baseline: baseline.port, sandbox: sandbox.port },
        close: async () => {
          await Promise.all([baseline.close(), sandbox.close()]);
        },
      };
    },
    verify: (port) => verifyHttp1("the proxy", port),
    connect: (port, answerBytes) => RawClient.connect(port, answerBytes),
  },
  {
    name: "http2",
    heapBytesPerRequestMax: 1050,
    connections: 8,
    async startBackends() {
      const [baseline = 0, sandbox = 0, countPort = 0] = await freePorts(3);
      const ports = [baseline, sandbox, countPort].map(String);
      const command = [projectFile("bench/load/http2-backend.ts"), "small", ...ports];
      const child = spawn(process.execPath, command, { stdio: ["ignore", "inherit", "inherit"] });
      return { ports: { baseline, sandbox }, close: () => end(child) };
    },
    verify: (port) => verifyHttp2("the proxy", port, true),
    connect: (port, answerBytes) => RawHttp2Client.connect(port, 16, answerBytes),
  },
];

/**
 * Buffers outside of the heap: read buffers are reused, so none per request. A few that come to stay fall into a batch
 * by chance; a fresh one for every read would be thousands.
 */
const bufferBytesPerRequestMax = 512;

const warmUpRequests = 16_000;
const batchRequests = 2_000;
const batches = 9;
/** Holds what a batch of the thriftless peer allocates, too. */
const semiSpaceMegabytes = 128;
const startMs = 10_000;

const { values } = parseArgs({ options: { command: { type: "string" }, protocol: { type: "string" } } });
for (const subject of subjects) {
  if (values.protocol !== undefined && values.protocol !== subject.name) continue;
  try {
    if (!(await withinBudget(subject))) process.exitCode = 1;
  } catch (error) {
    console.error(`allocation, ${subject.name}: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}

/** Measures one protocol and says what came out. */
async function withinBudget(subject: Subject): Promise<boolean> {
  const workspace = { directory: mkdtempSync(join(tmpdir(), "sidelane-allocation-")) };
  const backends = await subject.startBackends();
  const [port = 0, adminPort = 0] = await freePorts(2);
  const proxy = startProxy(
    port,
    writeSidelaneConfig({ workspace, port, adminPort, backends: backends.ports }),
    backends,
  );
  try {
    return await measure(subject, proxy, port);
  } finally {
    await end(proxy);
    await backends.close();
    rmSync(workspace.directory, { recursive: true, force: true });
  }
}

async function measure(subject: Subject, proxy: ChildProcess, port: number): Promise<boolean> {
  const answerBytes = await routesAtLast(subject, proxy, port);
  const { connections } = subject;
  const clients = await Promise.all(Array.from({ length: connections }, () => subject.connect(port, answerBytes)));
  const send = async (requests: number): Promise<void> => {
    await Promise.all(clients.map((client) => client.send(requests / connections)));
  };
  await send(warmUpRequests);
  const heap: number[] = [];
  const buffers: number[] = [];
  let collected = 0;
  for (let batch = 0; batch < batches; batch++) {
    const before = await ask(proxy, "collect");
    await send(batchRequests);
    const after = await ask(proxy, "report");
    if (after.collections > 0) {
      collected++;
      continue;
    }
    heap.push((after.heapUsedBytes - before.heapUsedBytes) / batchRequests);
    buffers.push((after.arrayBufferBytes - before.arrayBufferBytes) / batchRequests);
  }
  for (const client of clients) client.close();
  if (heap.length < batches / 2) {
    throw new Error(`the collector ran in ${collected} of ${batches} batches, so nothing is known`);
  }
  return judge(subject, heap, buffers);
}

function judge(
  { name, heapBytesPerRequestMax }: Subject,
  heap: readonly number[],
  buffers: readonly number[],
): boolean {
  const heapBytes = spread(heap);
  const bufferBytes = spread(buffers);
  console.log(
    `allocation, ${name}: ${formatSpread(heapBytes)} bytes of heap per proxied request, budget ${heapBytesPerRequestMax}`,
  );
  console.log(
    `allocation, ${name}: ${formatSpread(bufferBytes)} bytes of buffers outside of it, budget ${bufferBytesPerRequestMax}`,
  );
  const problems: string[] = [];
  if (heapBytes.median > heapBytesPerRequestMax) {
    problems.push(`the heap by ${digits(heapBytes.median - heapBytesPerRequestMax)}`);
  }
  if (bufferBytes.median > bufferBytesPerRequestMax) {
    problems.push(`the buffers by ${digits(bufferBytes.median - bufferBytesPerRequestMax)}`);
  }
  if (problems.length === 0) return true;
  console.error(
    `allocation, ${name}: over budget, ${problems.join(" and ")} bytes. What allocates: bench/README.md, "Bytes per request".`,
  );
  return false;
}

function startProxy(port: number, config: string, { ports }: Backends): ChildProcess {
  const semiSpace = [`--min-semi-space-size=${semiSpaceMegabytes}`, `--max-semi-space-size=${semiSpaceMegabytes}`];
  // Without the task a scavenge comes at 80 % of the young generation; one thread, so that batches do not overlap.
  const flags = [...semiSpace, "--no-minor-gc-task", "--import", projectFile("bench/allocation-probe.ts")];
  const command =
    values.command === undefined
      ? [projectFile("src/main.ts"), "proxy", "--config", config]
      : [...values.command.split(/\s+/).slice(1), ...[port, ports.baseline, ports.sandbox].map(String)];
  return spawn(process.execPath, [...flags, ...command], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
}

/** Asks until the proxy listens and has its table. @returns the bytes of one answer. */
async function routesAtLast(subject: Subject, proxy: ChildProcess, port: number): Promise<number> {
  const deadline = performance.now() + startMs;
  for (;;) {
    try {
      return await subject.verify(port);
    } catch (error) {
      if (proxy.exitCode !== null) throw new Error(`the proxy ended with ${proxy.exitCode}`, { cause: error });
      if (performance.now() > deadline) throw error;
      await delay(50);
    }
  }
}

function ask(proxy: ChildProcess, question: ProbeQuestion): Promise<HeapReport> {
  return new Promise((resolve, reject) => {
    const onMessage = (message: unknown): void => {
      // The proxy has messages of its own for whoever started it, such as the addresses that it listens on.
      if (typeof message !== "object" || message === null || !("heapUsedBytes" in message)) return;
      proxy.off("message", onMessage);
      proxy.off("exit", onExit);
      resolve(message as HeapReport);
    };
    const onExit = (): void => reject(new Error("the proxy ended before it answered"));
    proxy.on("message", onMessage);
    proxy.on("exit", onExit);
    proxy.send(question);
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}
