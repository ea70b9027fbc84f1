// Bytes of JavaScript heap that one proxied request costs, held against a budget by `npm run check`. Garbage shows in p99
// long before it shows in CPU.
//
// The young generation of the proxy is made so large that nothing is collected while a batch of requests runs: what the
// heap grew by is what was allocated. Batches are repeated and the median counts, because a compiler or a timer may fall
// into one of them.
//
// Usage: node bench/allocation.ts [--command "node bench/peers/node-undici-tuned.ts"] (default: node src/main.ts proxy)

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import type { HeapReport, ProbeQuestion } from "./allocation-probe.ts";
import type { BackendPorts } from "./backends.ts";
import { RawClient, startRawBackend } from "./load/raw.ts";
import { writeSidelaneConfig } from "./peers/sidelane.ts";
import { freePorts } from "./processes.ts";
import { projectFile } from "./project.ts";
import { digits, formatSpread, spread } from "./statistics.ts";
import { verifyHttp1 } from "./verify.ts";

/** The budget. Raise it only with the reason in docs/performance.md. */
const heapBytesPerRequestMax = 800;
/**
 * Buffers outside of the heap: read buffers are reused, so none per request. A few that come to stay fall into a batch
 * by chance; a fresh one for every read would be thousands.
 */
const bufferBytesPerRequestMax = 512;

const connections = 4;
const warmUpRequests = 16_000;
const batchRequests = 2_000;
const batches = 9;
/** Holds what a batch of the thriftless peer allocates, too. */
const semiSpaceMegabytes = 128;
const startMs = 10_000;

const { values } = parseArgs({ options: { command: { type: "string" } } });
const workspace = { directory: mkdtempSync(join(tmpdir(), "sidelane-allocation-")) };
const [baseline, sandbox] = await Promise.all([startRawBackend("baseline"), startRawBackend("sandbox")]);
const [port = 0, adminPort = 0] = await freePorts(2);
const proxy = startProxy({ baseline: baseline.port, sandbox: sandbox.port });
try {
  process.exitCode = await main();
} catch (error) {
  console.error(`allocation: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  if (proxy.exitCode === null && proxy.signalCode === null) {
    const ended = once(proxy, "exit");
    proxy.kill("SIGKILL");
    await ended;
  }
  await Promise.all([baseline.close(), sandbox.close()]);
  rmSync(workspace.directory, { recursive: true, force: true });
}

async function main(): Promise<number> {
  const answerBytes = await routesAtLast();
  const clients = await Promise.all(Array.from({ length: connections }, () => RawClient.connect(port, answerBytes)));
  const send = async (requests: number): Promise<void> => {
    await Promise.all(clients.map((client) => client.send(requests / connections)));
  };
  await send(warmUpRequests);
  const heap: number[] = [];
  const buffers: number[] = [];
  let collected = 0;
  for (let batch = 0; batch < batches; batch++) {
    const before = await ask("collect");
    await send(batchRequests);
    const after = await ask("report");
    if (after.collections > 0) {
      collected++;
      continue;
    }
    heap.push((after.heapUsedBytes - before.heapUsedBytes) / batchRequests);
    buffers.push((after.arrayBufferBytes - before.arrayBufferBytes) / batchRequests);
  }
  for (const client of clients) client.close();
  if (heap.length < batches / 2) {
    console.error(`allocation: the collector ran in ${collected} of ${batches} batches, so nothing is known`);
    return 1;
  }
  return judge(heap, buffers);
}

function judge(heap: readonly number[], buffers: readonly number[]): number {
  const heapBytes = spread(heap);
  const bufferBytes = spread(buffers);
  console.log(
    `allocation: ${formatSpread(heapBytes)} bytes of heap per proxied request, budget ${heapBytesPerRequestMax}`,
  );
  console.log(
    `allocation: ${formatSpread(bufferBytes)} bytes of buffers outside of it, budget ${bufferBytesPerRequestMax}`,
  );
  const problems: string[] = [];
  if (heapBytes.median > heapBytesPerRequestMax)
    problems.push(`the heap by ${digits(heapBytes.median - heapBytesPerRequestMax)}`);
  if (bufferBytes.median > bufferBytesPerRequestMax) {
    problems.push(`the buffers by ${digits(bufferBytes.median - bufferBytesPerRequestMax)}`);
  }
  if (problems.length === 0) return 0;
  console.error(
    `allocation: over budget, ${problems.join(" and ")} bytes. What allocates: bench/README.md, "Bytes per request".`,
  );
  return 1;
}

function startProxy(backends: BackendPorts): ChildProcess {
  const semiSpace = [`--min-semi-space-size=${semiSpaceMegabytes}`, `--max-semi-space-size=${semiSpaceMegabytes}`];
  // Without the task a scavenge comes at 80 % of the young generation; one thread, so that batches do not overlap.
  const flags = [...semiSpace, "--no-minor-gc-task", "--import", projectFile("bench/allocation-probe.ts")];
  const command =
    values.command === undefined
      ? [projectFile("src/main.ts"), "proxy", "--config", writeSidelaneConfig({ workspace, port, adminPort, backends })]
      : [...values.command.split(/\s+/).slice(1), ...[port, backends.baseline, backends.sandbox].map(String)];
  return spawn(process.execPath, [...flags, ...command], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
}

/** Asks until the proxy listens and has its table. @returns the bytes of one answer. */
async function routesAtLast(): Promise<number> {
  const deadline = performance.now() + startMs;
  for (;;) {
    try {
      return await verifyHttp1("the proxy", port);
    } catch (error) {
      if (proxy.exitCode !== null) throw new Error(`the proxy ended with ${proxy.exitCode}`, { cause: error });
      if (performance.now() > deadline) throw error;
      await delay(50);
    }
  }
}

function ask(question: ProbeQuestion): Promise<HeapReport> {
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
