// Sidelane in a cluster, end to end: the chart installed, an application applied with kubectl, injected, intercepted by real
// iptables, forked by Sandboxes. Needs what node.tools.ts needs. What the node that plays the kubelet cannot show stands in
// docs/kubernetes-testing.md.
//
// Long because all of it is one cluster's life.
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { installSidelane, whatIs } from "../support/kube/node/install.ts";
import { World, app, ask, isReady, namespace, said, saidByGrpc, until } from "../support/kube/node/world.ts";
import type { PodObject } from "../support/kube/node/world.ts";

let world: World;

beforeAll(async () => {
  world = await World.start();
  await installSidelane(world);
  await world.apply(namespace("shop", { "sidelane.dev/injection": "enabled" }));
  await world.apply(
    ...app({ namespace: "shop", name: "front", program: "echo:v1", env: { NEXT: "http://back.shop/" } }),
    ...app({ namespace: "shop", name: "back", program: "echo:v1" }),
    ...app({ namespace: "shop", name: "who", program: "grpc:v1", port: 9090 }),
    ...app({ namespace: "shop", name: "hello", program: "greeter:v1", port: 7070 }),
  );
  for (const name of ["front", "back", "who", "hello"]) {
    await podOf(name).catch(async (error: unknown) => {
      throw new Error(`${String(error)}\n${await whatIs(world, "shop")}`, { cause: error });
    });
  }
}, 300_000);
afterAll(() => world?.close(), 60_000);

const key = { baggage: "sidelane=pr-7" };

async function podOf(name: string): Promise<PodObject> {
  const [pod] = await world.readyPods("shop", `app=${name},!sidelane.dev/fork`);
  if (pod === undefined) throw new Error(name);
  return pod;
}

function firstWords(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: 10_000 });
    socket.setEncoding("utf8");
    socket.once("error", reject).once("timeout", () => socket.destroy(new Error("silence")));
    socket.once("data", (text: string) => {
      socket.destroy();
      resolve(text);
    });
  });
}

/** What all looks like, when something does not come about. */
function explained<T>(work: Promise<T>): Promise<T> {
  return work.catch(async (error: unknown) => {
    const state = await world.cluster.kubectl(["-n", "shop", "get", "sandboxes", "-o", "yaml"]).catch(String);
    throw new Error(`${String(error)}\n${state}\n${await whatIs(world, "sidelane")}`, { cause: error });
  });
}

const address = (name: string): Promise<string> => world.service("shop", name);

test("helm test is content", async () => {
  const said = await world.cluster.helm(["test", "sidelane", "--namespace=sidelane", "--timeout=60s"]);
  expect(said).toContain("Succeeded");
}, 90_000);

describe("an application that is applied", () => {
  test("has sidecars, and requests go through them", async () => {
    for (const name of ["front", "back", "who", "hello"]) {
      const { spec } = await podOf(name);
      expect(spec.initContainers?.map((one) => one.name)).toEqual(["sidelane-intercept", "sidelane"]);
    }
    const answer = await until("front and back answer", async () => {
      const one = await said(await address("front"));
      return one.next?.name === "back" ? one : undefined;
    });
    // From the sidecar's address in the pod, not from the caller's.
    expect(answer).toMatchObject({ name: "front", version: "v1", next: { version: "v1" } });
    expect(answer.from).toContain("127.0.0.1");
    expect(await saidByGrpc(await address("who"))).toBe("who v1");
    const { status } = await podOf("back");
    const { text } = await ask(`${status?.podIP}:15004`, "/metrics");
    expect(text).toMatch(/^sidelane_requests_total\{service="back.shop".*destination="baseline".*code="200"\} [1-9]/mu);
  }, 60_000);

  test("is probed truthfully when it is deaf, and comes back when it is killed", async () => {
    const { metadata, status } = await podOf("back");
    await ask(`${status?.podIP}:8080`, "/die");
    await world.pod("shop", metadata.name, (pod) => !isReady(pod));
    await world.node.signal(`shop/${metadata.name}`, "app", "SIGKILL");
    const again = await world.pod("shop", metadata.name, isReady);
    expect(again.status?.containerStatuses?.[0]?.restartCount).toBe(1);
  }, 60_000);

  test("goes on when its sidecar is killed and starts again", async () => {
    const { metadata } = await podOf("front");
    await world.node.signal(`shop/${metadata.name}`, "sidelane", "SIGKILL");
    const restarted = (pod: PodObject): boolean =>
      pod.status?.initContainerStatuses?.some((one) => one.name === "sidelane" && one.restartCount === 1) ?? false;
    const again = await world.pod("shop", metadata.name, (pod) => restarted(pod) && isReady(pod));
    expect(again.status?.containerStatuses?.[0]?.restartCount).toBe(0);
    await until("front answers", () => address("front").then((at) => said(at)));
  }, 60_000);

  test("keeps ports to itself that it excludes", async () => {
    const side = { name: "side", image: "app/echo:v1", env: [{ name: "PORT", value: "8081" }] };
    const main = { name: "app", image: "app/echo:v1", ports: [{ containerPort: 8080 }] };
    const annotations = { "sidelane.dev/ports": "8080,8081", "sidelane.dev/exclude-inbound-ports": "8081" };
    await world.apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "own", namespace: "shop", annotations },
      spec: { terminationGracePeriodSeconds: 2, containers: [main, side] },
    });
    const { status } = await world.pod("shop", "own", isReady);
    const [redirected, excluded] = await until("both answer", async () => [
      await said(`${status?.podIP}:8080`),
      await said(`${status?.podIP}:8081`),
    ]);
    expect(redirected?.from).toContain("127.0.0.1");
    expect(excluded?.from).toContain(world.network.hostAddress);
  }, 60_000);

  test("needs no rights where its ports have names", async () => {
    const annotations = { "sidelane.dev/interception": "named-ports" };
    await world.apply(...app({ namespace: "shop", name: "named", program: "echo:v1", annotations }));
    const one = await until("it answers", async () => said(await address("named")));
    expect(one.from).toContain("127.0.0.1");
    expect((await podOf("named")).spec.initContainers?.map(({ name }) => name)).toEqual(["sidelane"]);
  }, 60_000);

  test("speaks first where its protocol does", async () => {
    const { status } = await podOf("hello");
    expect(await until("it speaks", () => firstWords(status?.podIP ?? "", 7070))).toBe("hello v1\n");
  }, 60_000);
});

const sandbox = (name: string, forks: readonly object[]): object => ({
  apiVersion: "sidelane.dev/v1alpha1",
  kind: "Sandbox",
  metadata: { name, namespace: "shop" },
  spec: { forks },
});
const fork = (kind: string, name: string, change: object = {}): object => ({
  workload: { kind, name },
  containers: [{ name: "app", ...change }],
});

async function untilReady(name: string): Promise<void> {
  const waited = ["-n", "shop", "wait", `sandbox/${name}`, "--for=condition=Ready", "--timeout=60s"];
  await explained(world.cluster.kubectl(waited, { withinMs: 70_000 }));
}

async function remove(name: string): Promise<void> {
  const deletion = ["-n", "shop", "delete", "sandbox", name, "--timeout=60s"];
  await explained(world.cluster.kubectl(deletion, { withinMs: 70_000 }));
}

describe("a Sandbox", () => {
  test("takes the requests with its key, follows its baseline, and goes without a failed request", async () => {
    const forks = [
      fork("Deployment", "back", { image: "app/echo:v2" }),
      fork("Deployment", "who", { image: "app/grpc:v2" }),
    ];
    await world.apply(sandbox("pr-7", forks));
    await untilReady("pr-7");
    const [front, who] = [await address("front"), await address("who")];
    expect(await said(front, key)).toMatchObject({ version: "v1", next: { version: "v2", context: key } });
    expect(await said(front)).toMatchObject({ version: "v1", next: { version: "v1" } });
    expect(await said(front, { baggage: "sidelane=other" })).toMatchObject({ next: { version: "v1" } });
    expect(await saidByGrpc(who, key)).toBe("who v2 sidelane=pr-7");
    expect(await saidByGrpc(who)).toBe("who v1");

    await world.cluster.kubectl(["-n", "shop", "set", "env", "deployment/back", "MESSAGE=changed"]);
    const both = await until(
      "baseline and fork are changed",
      async () => {
        const [plain, keyed] = [await said(front), await said(front, key)];
        return plain.next?.message === "changed" && keyed.next?.message === "changed" ? [plain, keyed] : undefined;
      },
      60_000,
    );
    expect(both.map(({ next }) => next?.version)).toEqual(["v1", "v2"]);

    let asking = true;
    const versions = new Set<string | undefined>();
    const failures: string[] = [];
    const asked = (async () => {
      while (asking) {
        const { status, text } = await ask(front, "/", key);
        const next = status === 200 ? (JSON.parse(text) as { next?: { version?: string } }).next : undefined;
        if (next?.version === undefined) failures.push(`${status} ${text}`);
        versions.add(next?.version);
      }
    })();
    await remove("pr-7").finally(() => (asking = false));
    await world.cluster.api.untilAll(
      "/api/v1/namespaces/shop/pods?labelSelector=sidelane.dev%2Ffork",
      (pods) => pods.length === 0,
    );
    asking = false;
    await asked;
    expect(failures).toEqual([]);
    expect([...versions].toSorted((a, b) => (a ?? "").localeCompare(b ?? ""))).toEqual(["v1", "v2"]);
    expect(await said(front, key)).toMatchObject({ next: { version: "v1" } });
  }, 300_000);

  test("goes on while the control plane is away", async () => {
    await world.apply(sandbox("pr-9", [fork("Deployment", "back", { image: "app/echo:v2" })]));
    await untilReady("pr-9");
    const front = await address("front");
    await world.cluster.kubectl(["-n", "sidelane", "scale", "deployment/sidelane-control", "--replicas=0"]);
    await world.readyPods("sidelane", "app.kubernetes.io/component=control", 0);
    expect(await said(front, { baggage: "sidelane=pr-9" })).toMatchObject({ next: { version: "v2" } });
    expect(await said(front)).toMatchObject({ next: { version: "v1" } });
    await world.cluster.kubectl(["-n", "sidelane", "scale", "deployment/sidelane-control", "--replicas=1"]);
    await world.readyPods("sidelane", "app.kubernetes.io/component=control");
    await untilReady("pr-9");
    expect(await said(front, { baggage: "sidelane=pr-9" })).toMatchObject({ next: { version: "v2" } });
    await remove("pr-9");
  }, 240_000);

  test("stamps what its Job sends with its key, and the baseline's Job is left as it is", async () => {
    await world.apply(sandbox("pr-8", [fork("Deployment", "back", { image: "app/echo:v2" })]));
    await untilReady("pr-8");
    const caller = { name: "app", image: "app/caller:v1", env: [{ name: "URL", value: "http://back.shop/" }] };
    await world.apply({
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: "report", namespace: "shop" },
      spec: {
        template: {
          metadata: { annotations: { "sidelane.dev/outbound-ports": "80" } },
          spec: { restartPolicy: "Never", terminationGracePeriodSeconds: 2, containers: [caller] },
        },
      },
    });
    const words = (job: string): Promise<string> =>
      until(
        `${job} has asked`,
        async () => {
          const pods = await world.cluster.api.list<PodObject>("/api/v1/namespaces/shop/pods");
          const pod = pods.find(({ metadata }) => metadata.labels?.["job-name"]?.startsWith(job));
          const log = pod === undefined ? "" : await world.node.logs(`shop/${pod.metadata.name}`, "app");
          return log.includes("}") ? log : undefined;
        },
        40_000,
      );
    expect(JSON.parse(await words("report"))).toMatchObject({ name: "back", version: "v1", context: {} });
    await world.apply(
      sandbox("pr-8", [
        fork("Deployment", "back", { image: "app/echo:v2" }),
        fork("Job", "report", { env: [{ name: "OF", value: "pr-8" }] }),
      ]),
    );
    const said8 = await explained(words("pr-8-report"));
    expect(JSON.parse(said8)).toMatchObject({ name: "back", version: "v2", context: { baggage: "sidelane=pr-8" } });
    await remove("pr-8");
  }, 240_000);
});

test("helm uninstall takes all of it away, and the application goes on", async () => {
  await world.apply(sandbox("left", [fork("Deployment", "back", { image: "app/echo:v2" })]));
  await untilReady("left");
  const argv = ["uninstall", "sidelane", "--namespace=sidelane", "--wait", "--timeout=120s"];
  await explained(world.cluster.helm(argv, { withinMs: 150_000 }));
  const kinds = "crds,mutatingwebhookconfigurations,clusterroles,clusterrolebindings";
  expect(await world.cluster.kubectl(["get", kinds, "-o", "name"])).not.toContain("sidelane");
  const left = "deployments,services,configmaps,secrets,jobs,leases,roles,rolebindings,serviceaccounts";
  expect(await world.cluster.kubectl(["-n", "sidelane", "get", left, "-o", "name"])).not.toContain("sidelane");
  expect(await world.cluster.kubectl(["-n", "shop", "get", left, "-o", "name"])).not.toMatch(/sidelane|left/u);
  expect(await said(await address("front"), key)).toMatchObject({ next: { version: "v1" } });
}, 240_000);
