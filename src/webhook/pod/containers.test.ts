import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { cases, reviewOf } from "./cases.ts";
import { reviewPod } from "./review-pod.ts";

// What an ordinary container runs before its end, as the kubelet would: until the app listens no more.

interface Sidecar {
  readonly name: string;
  readonly lifecycle: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } };
}

function preStop(): readonly string[] {
  const outcome = reviewPod(reviewOf(cases["old-cluster"] ?? { spec: {} }));
  if (outcome.kind !== "injected") throw new Error("it is not injected");
  const added = outcome.patch.flatMap((step) => (step.op === "add" ? [step.value].flat() : [])) as readonly Sidecar[];
  const command = added.find(({ name }) => name === "sidelane")?.lifecycle.preStop.exec.command;
  if (command === undefined) throw new Error("there is no hook");
  return command;
}

/** The sidecar's open admin server, which says whether the app listens. */
async function start() {
  const state = { listens: true, asked: [] as (string | undefined)[] };
  const server = createServer((request, response) => {
    state.asked.push(request.url);
    response.writeHead(state.listens ? 200 : 503).end();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const run = (edit: (program: string) => string) => {
    const [program = "", ...args] = preStop().map((text) => edit(text).replaceAll("15004", String(port)));
    const child = spawn(program === "node" ? process.execPath : program, args, { stdio: "inherit" });
    onTestFinished(() => void child.kill("SIGKILL"));
    return once(child, "exit");
  };
  return { state, run };
}

test("it waits for the app, at least for a while", async () => {
  const { state, run } = await start();
  const exit = run((program) => program.replace("ms < 5000", "ms < 1"));
  await expect.poll(() => state.asked.length, { timeout: 10_000 }).toBeGreaterThan(2);
  expect(new Set(state.asked)).toEqual(new Set(["/reach/tcp/8080"]));
  state.listens = false;
  expect(await exit).toEqual([0, null]);
});

test("it does not wait for an app that never ends, nor ask a sidecar that is gone for ever", async () => {
  const { state, run } = await start();
  const short = (program: string): string => program.replace("ms < 5000", "ms < 1").replace("ms < 25000", "ms < 1");
  expect(await run(short)).toEqual([0, null]);
  expect(state.asked.length).toBeLessThan(3);
});
