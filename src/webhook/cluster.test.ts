import { expect, onTestFinished, test } from "vitest";
import { silentLog } from "../base/log.ts";
import type { KubeClient } from "../kube/client.ts";
import { Cluster } from "./cluster.ts";

/** Knows these ports, each of a Service of its own. */
async function clusterWith(ports: readonly object[]): Promise<Cluster> {
  const items = ports.map((port, index) => ({
    metadata: { name: `s${index}`, namespace: "shop", resourceVersion: "1" },
    spec: { ports: [port] },
  }));
  const client = {
    list: async (path: string) => ({ resourceVersion: "1", items: path.endsWith("/services") ? items : [] }),
    get: async () => ({ minor: "34" }),
    // Nothing happens until the end.
    async *watch(_path: string, _from: string, { signal }: { readonly signal: AbortSignal }) {
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      yield* [];
    },
  } as unknown as KubeClient;
  const cluster = new Cluster({ client, log: silentLog, namespaceMs: 100 });
  cluster.start();
  onTestFinished(() => cluster.close());
  await expect.poll(() => cluster.missing).toEqual([]);
  return cluster;
}

test("a port is stamped unless a Service speaks another protocol of TCP there", async () => {
  const cluster = await clusterWith([
    { port: 80, name: "http" },
    { port: 8080 },
    { port: 9000 },
    { port: 9000, name: "tcp-metrics" },
    { port: 8080, name: "quic", protocol: "UDP" },
    { port: 53, protocol: "UDP" },
    { port: 3306 },
  ]);
  expect(cluster.httpPorts).toEqual([80, 8080]);
});
