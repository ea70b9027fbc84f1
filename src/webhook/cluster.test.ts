import { describe, expect, onTestFinished, test } from "vitest";
import { silentLog } from "../base/log.ts";
import type { KubeClient } from "../kube/client.ts";
import { KubeError } from "../kube/kube-error.ts";
import { Cluster } from "./cluster.ts";

/** Knows these namespaces, and these ports, each of a Service of its own. */
async function clusterWith(
  ports: readonly (readonly [namespace: string, port: object])[],
  request: (path: string) => Promise<unknown> = () => Promise.reject(new Error("not asked for here")),
): Promise<Cluster> {
  const services = ports.map(([namespace, port], index) => ({
    metadata: { name: `s${index}`, namespace, resourceVersion: "1" },
    spec: { ports: [port] },
  }));
  const namespaces = [
    { metadata: { name: "shop", resourceVersion: "1", labels: { "sidelane.dev/injection": "enabled" } } },
    { metadata: { name: "tools", resourceVersion: "1", labels: {} } },
  ];
  const client = {
    list: async (path: string) => ({ resourceVersion: "1", items: path.endsWith("/services") ? services : namespaces }),
    get: async () => ({ minor: "34" }),
    request: ({ path }: { readonly path: string }) => request(path),
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

describe("a port is stamped", () => {
  test("unless a Service speaks another protocol of TCP there", async () => {
    const cluster = await clusterWith([
      ["shop", { port: 80, name: "http" }],
      ["shop", { port: 8080 }],
      ["shop", { port: 9000 }],
      ["shop", { port: 9000, name: "tcp-metrics" }],
      ["shop", { port: 8080, name: "quic", protocol: "UDP" }],
      ["shop", { port: 53, protocol: "UDP" }],
      ["shop", { port: 3306 }],
      ["shop", { port: 15_200, name: "http" }],
    ]);
    expect(cluster.httpPorts).toEqual({ ports: [80, 8080], disputed: [{ port: 9000, by: "shop/s3" }] });
  });

  test("whatever Services of namespaces without sidecars say, unless only those have it", async () => {
    const cluster = await clusterWith([
      ["shop", { port: 80, name: "http" }],
      ["tools", { port: 80, name: "tcp-x" }],
      ["tools", { port: 7000, name: "http" }],
      ["tools", { port: 7001, name: "http" }],
      ["tools", { port: 7001, name: "tcp-y" }],
    ]);
    expect(cluster.httpPorts).toEqual({ ports: [80, 7000], disputed: [] });
  });
});

test("a namespace that is not there is asked for once, however often somebody names it", async () => {
  const asked: string[] = [];
  const cluster = await clusterWith([], (path) => {
    asked.push(path);
    if (path.endsWith("/tools")) return Promise.resolve({ metadata: { labels: { team: "a" } } });
    return Promise.reject(new KubeError(404, "NotFound", "there is none"));
  });
  for (let round = 0; round < 3; round++) {
    await expect(cluster.labels("made-up")).rejects.toThrow("there is none");
    // One that is there may have got its label this moment.
    expect(await cluster.labels("tools")).toEqual({ team: "a" });
    expect(await cluster.labels("shop")).toMatchObject({ "sidelane.dev/injection": "enabled" });
  }
  const path = "/api/v1/namespaces";
  expect(asked).toEqual([`${path}/made-up`, `${path}/tools`, `${path}/tools`, `${path}/tools`]);
});
