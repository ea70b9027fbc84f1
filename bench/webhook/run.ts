// `node bench/webhook/run.ts`: how long a review takes at a steady rate, and what it costs. The webhook in a process of its own, as in a
// cluster; the API server made up, with as many namespaces and Services as a large cluster has. Reviews are sent when their time has
// come, whether those before are answered or not, and timed from then: a webhook that stalls is not asked less.

import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { Agent, request } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { generate } from "selfsigned";
import { cases, reviewOf } from "../../src/webhook/pod/cases.ts";
import { processMemory, processUsage } from "../procfs.ts";
import { prioritise } from "../priority.ts";
import { digits } from "../statistics.ts";

const usage = `node bench/webhook/run.ts [--seconds N] [--rate N] [--services N] [--nice=N]

  --seconds    default 10
  --rate       reviews per second; default 100
  --services   in the cluster, ten to a namespace; default 5000
  --nice=N     priority of the run, as nice(1) counts; below 0 on a machine shared with others, where that is allowed`;

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "10" },
    rate: { type: "string", default: "100" },
    services: { type: "string", default: "5000" },
    nice: { type: "string", default: "0" },
    help: { type: "boolean", default: false },
  },
});

const p99TargetMs = 50;
/** A new process compiles what is asked for often; a webhook runs for weeks. */
const warmUpMs = 3000;

if (values.help) console.log(usage);
else process.exitCode = await main(Number(values.seconds), Number(values.rate), Number(values.services));

async function main(seconds: number, rate: number, services: number): Promise<number> {
  process.once("exit", prioritise(Number(values.nice)));
  const folder = mkdtempSync(join(tmpdir(), "sidelane-bench-webhook-"));
  const api = await startApi(services);
  const { port } = api.address() as AddressInfo;
  const { ca, file } = await configured(folder, port);
  const child = fork(new URL("../../src/main.ts", import.meta.url), ["webhook", "--config", file], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  try {
    const [{ listeners, admin }] = (await once(child, "message")) as [
      { readonly listeners: { readonly reviews: string }; readonly admin: string },
    ];
    while ((await fetch(`http://${admin}/ready`)).status !== 200) await sleep(50);
    const ask = asker(listeners.reviews, ca);
    await load(ask, rate, warmUpMs);
    const before = processUsage(child.pid ?? 0);
    const latencies = (await load(ask, rate, seconds * 1000)).toSorted((a, b) => a - b);
    const after = processUsage(child.pid ?? 0);
    const at = (share: number): number =>
      latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0;
    const cpuUs = after.userUs + after.systemUs - before.userUs - before.systemUs;
    const { residentBytes } = processMemory(child.pid ?? 0);
    console.log(`${latencies.length} reviews, ${rate} per second, ${services} Services`);
    console.log(`latency ms: p50 ${digits(at(0.5))}, p99 ${digits(at(0.99))}, most ${digits(at(1))}`);
    console.log(
      `CPU ms per review: ${digits(cpuUs / 1000 / latencies.length)}; RSS MB: ${digits(residentBytes / 1e6)}`,
    );
    if (at(0.99) <= p99TargetMs) return 0;
    console.error(`bench/webhook: p99 ${digits(at(0.99))} ms, more than the ${p99TargetMs} ms that are promised`);
    return 1;
  } finally {
    child.kill("SIGKILL");
    api.closeAllConnections();
    api.close();
    rmSync(folder, { recursive: true });
  }
}

/** Lists, and watches in which nothing happens. */
async function startApi(services: number): Promise<Server> {
  const names = Array.from({ length: Math.ceil(services / 10) }, (_, index) => `shop-${index}`);
  const namespaces = names.map((name) => ({ metadata: { name, labels: { "sidelane.dev/injection": "enabled" } } }));
  const all = Array.from({ length: services }, (_, index) => {
    const [name, namespace] = [`service-${index}`, `shop-${index % names.length}`];
    const ports = [{ name: "http", port: 80, targetPort: 8080 }];
    return { metadata: { name, namespace }, spec: { selector: { app: name }, ports } };
  });
  // The pods that are reviewed are in one of them.
  for (const namespace of names) all.push(checkoutIn(namespace));
  const answer = ({ url = "" }: IncomingMessage, response: ServerResponse): void => {
    response.setHeader("content-type", "application/json");
    if (url.startsWith("/version")) return void response.end(JSON.stringify({ major: "1", minor: "34" }));
    if (url.includes("watch=true")) return response.flushHeaders();
    const items = url.startsWith("/api/v1/services") ? all : namespaces;
    response.end(JSON.stringify({ metadata: { resourceVersion: "1" }, items }));
  };
  const server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function checkoutIn(namespace: string) {
  const ports = [{ name: "http", port: 80, targetPort: 8080 }];
  return {
    metadata: { name: "checkout", namespace },
    spec: { selector: { app: "checkout" }, ports },
  };
}

async function configured(folder: string, port: number): Promise<{ readonly ca: string; readonly file: string }> {
  const { cert, private: key } = await generate([{ name: "commonName", value: "localhost" }], {
    keyType: "ec",
    algorithm: "sha256",
  });
  writeFileSync(join(folder, "tls.crt"), cert);
  writeFileSync(join(folder, "tls.key"), key);
  const context = { cluster: "bench", user: "bench" };
  const kubeconfig = {
    ...{ apiVersion: "v1", kind: "Config", "current-context": "bench" },
    clusters: [{ name: "bench", cluster: { server: `http://127.0.0.1:${port}`, "insecure-skip-tls-verify": true } }],
    users: [{ name: "bench", user: {} }],
    contexts: [{ name: "bench", context }],
  };
  writeFileSync(join(folder, "kubeconfig"), JSON.stringify(kubeconfig));
  const config = {
    ...{ address: "127.0.0.1:0", admin: { address: "127.0.0.1:0" }, kubeconfig: "kubeconfig", namespace: "sidelane" },
    tls: { certificate: "tls.crt", key: "tls.key" },
    sidecar: { image: "sidelane" },
    log: { level: "warn" },
  };
  const file = join(folder, "webhook.yaml");
  writeFileSync(file, JSON.stringify(config));
  return { ca: cert, file };
}

/** Sends one review, and resolves when its answer is complete. */
function asker(address: string, ca: string): (turn: number) => Promise<void> {
  const agent = new Agent({ keepAlive: true, ca, checkServerIdentity: () => undefined });
  const kind = { group: "", version: "v1", kind: "Pod" };
  const bodies = Object.values(cases).map((one, index) => {
    const { pod } = reviewOf(one);
    const asked = { uid: String(index), kind, namespace: `shop-${index}`, operation: "CREATE", object: pod };
    return JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request: asked });
  });
  return (turn) =>
    new Promise((resolve, reject) => {
      const sent = request(`https://${address}/inject?timeout=5s`, { method: "POST", agent }, (response) => {
        if (response.statusCode !== 200) reject(new Error(`a review was answered with ${response.statusCode}`));
        response.resume();
        response.on("end", resolve);
      });
      sent.on("error", reject);
      sent.end(bodies[turn % bodies.length]);
    });
}

/** Milliseconds of each review from when it was due. */
async function load(ask: (turn: number) => Promise<void>, rate: number, forMs: number): Promise<readonly number[]> {
  const startMs = performance.now();
  const latencies: number[] = [];
  const running: Promise<void>[] = [];
  const timed = async (turn: number, dueMs: number): Promise<void> => {
    await ask(turn);
    latencies.push(performance.now() - dueMs);
  };
  const count = Math.floor((rate * forMs) / 1000);
  for (let turn = 0; turn < count; turn++) {
    const dueMs = startMs + (turn * 1000) / rate;
    const leftMs = dueMs - performance.now();
    if (leftMs > 0) await sleep(leftMs);
    running.push(timed(turn, dueMs));
  }
  await Promise.all(running);
  return latencies;
}
