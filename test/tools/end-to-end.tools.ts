// Sidelane in a cluster, end to end: the chart installed, an application applied with kubectl, injected, intercepted by real
// iptables, forked by Sandboxes. Needs what node.tools.ts needs. What the node that plays the kubelet cannot show stands in
// docs/kubernetes-testing.md.
//
// Long because all of it is one cluster's life.
import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { connectDeveloper } from "../support/kube/node/developer.ts";
import { installSidelane, upgradeSidelane, whatIs } from "../support/kube/node/install.ts";
import { startTraffic } from "../support/kube/node/traffic.ts";
import type { TrafficReport } from "../support/kube/node/traffic.ts";
import { World, app, ask, isReady, namespace, said, saidByGrpc, until } from "../support/kube/node/world.ts";
import type { KubeObject } from "../support/kube/kube-api.ts";
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
    ...app({ namespace: "shop", name: "store", program: "echo:v1", kind: "StatefulSet" }),
  );
  for (const name of ["front", "back", "who", "hello", "store"]) {
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

  test("is probed by every kind of probe as if there were no sidecar", async () => {
    const every = { periodSeconds: 1, failureThreshold: 2 };
    const probes = {
      startupProbe: { exec: { command: ["true"] }, ...every },
      readinessProbe: { grpc: { port: 9090 }, ...every },
      livenessProbe: { tcpSocket: { port: 9090 }, ...every },
    };
    const deaf = { livenessProbe: { tcpSocket: { port: "main" }, ...every } };
    await world.apply(
      ...app({ namespace: "shop", name: "probed", program: "grpc:v1", port: 9090, container: probes }),
      ...app({ namespace: "shop", name: "deaf", program: "echo:v1", container: deaf }),
    );
    const [probed, { metadata, status }] = [await podOf("probed"), await podOf("deaf")];
    expect(probed.spec.containers[0]).toMatchObject({
      startupProbe: { exec: { command: ["true"] } },
      readinessProbe: { grpc: { port: 9090 } },
      livenessProbe: { httpGet: { port: 15_004, path: "/reach/tcp/9090" } },
    });
    // The sidecar still accepts: only the app itself is deaf.
    await ask(`${status?.podIP}:8080`, "/die");
    const restarted = await world.pod("shop", metadata.name, (pod) => {
      return pod.status?.containerStatuses?.[0]?.restartCount === 1 && isReady(pod);
    });
    expect(restarted.status?.initContainerStatuses?.map((one) => one.restartCount)).toEqual([0, 0]);
    expect((await podOf("probed")).status?.containerStatuses?.[0]?.restartCount).toBe(0);
    await world.cluster.kubectl(["-n", "shop", "delete", "deployment,service", "probed", "deaf", "--wait=false"]);
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

const inShop = (name: string): object => ({ name, namespace: "shop" });
const sandbox = (name: string, forks: readonly object[]): object => ({
  apiVersion: "sidelane.dev/v1alpha1",
  kind: "Sandbox",
  metadata: inShop(name),
  spec: { forks },
});
const fork = (kind: string, name: string, change: object = {}): object => ({
  workload: { kind, name },
  containers: [{ name: "app", ...change }],
});

async function untilReady(name: string, kind = "sandbox"): Promise<void> {
  const waited = ["-n", "shop", "wait", `${kind}/${name}`, "--for=condition=Ready", "--timeout=60s"];
  await explained(world.cluster.kubectl(waited, { withinMs: 70_000 }));
}

async function remove(name: string): Promise<void> {
  const deletion = ["-n", "shop", "delete", "sandbox", name, "--timeout=60s"];
  await explained(world.cluster.kubectl(deletion, { withinMs: 70_000 }));
}

/** Whatever a Sandbox has made and is still there. */
function leftOf(name: string): Promise<string> {
  const kinds = "deployments,replicasets,statefulsets,jobs,cronjobs,pods,services,endpointslices,configmaps";
  return world.cluster.kubectl(["-n", "shop", "get", kinds, "-l", `sidelane.dev/sandbox=${name}`, "-o", "name"]);
}

const caller = (): object => ({
  metadata: { annotations: { "sidelane.dev/outbound-ports": "80" } },
  spec: {
    restartPolicy: "Never",
    terminationGracePeriodSeconds: 2,
    containers: [{ name: "app", image: "app/caller:v1", env: [{ name: "URL", value: "http://back.shop/" }] }],
  },
});

/** What the caller of a job was told. `name`: how the job's name begins. */
function toldTo(name: string): Promise<unknown> {
  return until(
    `${name} has asked`,
    async () => {
      const pods = await world.cluster.api.list<PodObject>("/api/v1/namespaces/shop/pods");
      const pod = pods.find(({ metadata }) => metadata.labels?.["job-name"]?.startsWith(name));
      const log = pod === undefined ? "" : await world.node.logs(`shop/${pod.metadata.name}`, "app");
      return log.includes("}") ? (JSON.parse(log) as unknown) : undefined;
    },
    60_000,
  );
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

    const traffic = startTraffic(front, key);
    await remove("pr-7");
    await world.cluster.api.untilAll(
      "/api/v1/namespaces/shop/pods?labelSelector=sidelane.dev%2Ffork",
      (pods) => pods.length === 0,
    );
    // First the fork, then the baseline, and nothing in between.
    expect(await traffic.stop()).toMatchObject({ failures: [], versions: ["v1", "v2"] });
    expect(await leftOf("pr-7")).toBe("");
    expect(await said(front, key)).toMatchObject({ next: { version: "v1" } });
  }, 300_000);

  test("stamps what its jobs send with its key, and the baseline's are left as they are", async () => {
    await world.apply(
      sandbox("pr-8", [fork("Deployment", "back", { image: "app/echo:v2" })]),
      { apiVersion: "batch/v1", kind: "Job", metadata: inShop("report"), spec: { template: caller() } },
      {
        apiVersion: "batch/v1",
        kind: "CronJob",
        metadata: inShop("nightly"),
        spec: { schedule: "0 0 1 1 *", jobTemplate: { spec: { template: caller() } } },
      },
    );
    await untilReady("pr-8");
    expect(await toldTo("report")).toMatchObject({ name: "back", version: "v1", context: {} });
    const changed = { env: [{ name: "OF", value: "pr-8" }] };
    await world.apply(
      sandbox("pr-8", [
        fork("Deployment", "back", { image: "app/echo:v2" }),
        fork("Job", "report", changed),
        fork("CronJob", "nightly", changed),
      ]),
    );
    const forked = { name: "back", version: "v2", context: { baggage: "sidelane=pr-8" } };
    expect(await explained(toldTo("pr-8-report"))).toMatchObject(forked);
    const crons = "/apis/batch/v1/namespaces/shop/cronjobs";
    type CronJob = KubeObject & { readonly spec: { readonly suspend?: boolean } };
    await world.cluster.api.until<CronJob>(crons, "pr-8-nightly", ({ spec }) => spec.suspend === true);
    const byHand = ["-n", "shop", "create", "job"];
    await world.cluster.kubectl([...byHand, "tonight", "--from=cronjob/nightly"]);
    await world.cluster.kubectl([...byHand, "now", "--from=cronjob/pr-8-nightly"]);
    expect(await toldTo("tonight")).toMatchObject({ name: "back", version: "v1", context: {} });
    expect(await explained(toldTo("now"))).toMatchObject(forked);
    await remove("pr-8");
    await until("nothing is left", async () => (await leftOf("pr-8")) === "");
  }, 240_000);

  test("has StatefulSets too, and is one of a RouteGroup", async () => {
    await world.apply(
      sandbox("pr-11", [fork("StatefulSet", "store", { image: "app/echo:v2" })]),
      sandbox("pr-12", [fork("Deployment", "back", { image: "app/echo:v3" })]),
      {
        apiVersion: "sidelane.dev/v1alpha1",
        kind: "RouteGroup",
        metadata: inShop("release"),
        spec: { sandboxes: ["pr-11", "pr-12"] },
      },
    );
    await untilReady("pr-11");
    await untilReady("pr-12");
    await untilReady("release", "routegroup");
    const [front, store] = [await address("front"), await address("store")];
    const release = { baggage: "sidelane=release" };
    expect(await said(store, release)).toMatchObject({
      version: "v2",
      host: expect.stringContaining(store.split(":")[0] ?? ""),
    });
    expect(await said(front, release)).toMatchObject({ version: "v1", next: { version: "v3" } });
    expect(await said(store, { baggage: "sidelane=pr-11" })).toMatchObject({ version: "v2" });
    expect(await said(store, { baggage: "sidelane=pr-12" })).toMatchObject({ version: "v1" });
    expect(await said(store)).toMatchObject({ version: "v1" });
    await world.cluster.kubectl(["-n", "shop", "delete", "routegroup", "release", "--timeout=60s"]);
    await Promise.all([remove("pr-11"), remove("pr-12")]);
    expect(await said(front, release)).toMatchObject({ next: { version: "v1" } });
  }, 240_000);

  test("is a developer's machine, as long as it is connected", async () => {
    const server = createServer((request, response) => {
      response.end(JSON.stringify({ name: "back", version: "mine", context: { baggage: request.headers.baggage } }));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const at = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    await world.apply({
      apiVersion: "sidelane.dev/v1alpha1",
      kind: "Sandbox",
      metadata: inShop("ada"),
      spec: { connect: [{ service: "back" }] },
    });
    const ada = { baggage: "sidelane=ada" };
    const front = await address("front");
    await until("the control plane has it", async () => {
      const shown = await world.cluster.kubectl([
        "-n",
        "shop",
        "get",
        "sandbox",
        "ada",
        "-o",
        "jsonpath={.status.name}",
      ]);
      return shown === "ada.shop" || undefined;
    });
    expect(await said(front, ada)).toMatchObject({ next: { version: "v1" } });
    const developer = await connectDeveloper(world, "ada.shop", [`back.shop=${at}`]);
    onTestFinished(() => developer.kill());
    await until("it is told so", async () => /reach this machine/u.test(developer.output) || undefined).catch(
      (cause) => {
        throw new Error(developer.output, { cause });
      },
    );
    expect(await said(front, ada)).toMatchObject({ version: "v1", next: { version: "mine", context: ada } });
    expect(await said(front)).toMatchObject({ next: { version: "v1" } });
    expect([await developer.leave(), developer.output]).toEqual([0, expect.any(String)]);
    expect(await said(front, ada)).toMatchObject({ next: { version: "v1" } });
    await remove("ada");
  }, 120_000);
});

const roles = ["control", "webhook", "operator"];
const ofRole = (role: string): string =>
  `/api/v1/namespaces/sidelane/pods?labelSelector=app.kubernetes.io%2Fcomponent%3D${role}`;

/** Kills every process of a role, and waits until all of them are back. */
async function kill(role: string): Promise<void> {
  const pods = await world.cluster.api.list<PodObject>(ofRole(role));
  const before = new Map(pods.map((pod) => [pod.metadata.name, pod.status?.containerStatuses?.[0]?.restartCount ?? 0]));
  for (const name of before.keys()) await world.node.signal(`sidelane/${name}`, role, "SIGKILL");
  await world.cluster.api.untilAll<PodObject>(ofRole(role), (all) =>
    all.every((pod) => {
      const restarts = pod.status?.containerStatuses?.[0]?.restartCount ?? 0;
      return isReady(pod) && restarts > (before.get(pod.metadata.name) ?? 0);
    }),
  );
}

describe("when parts of Sidelane", () => {
  const forks = [fork("Deployment", "back", { image: "app/echo:v2" })];
  const key13 = { baggage: "sidelane=pr-13" };

  beforeAll(async () => {
    await world.apply(sandbox("pr-13", forks));
    await untilReady("pr-13");
  }, 120_000);
  afterAll(() => remove("pr-13"), 120_000);

  /** What became of requests meanwhile, with the key and without. */
  async function requestsDuring(happening: () => Promise<unknown>): Promise<readonly TrafficReport[]> {
    const front = await address("front");
    const traffic = [startTraffic(front), startTraffic(front, key13)];
    const happened = explained(happening());
    // Before it is told: nobody asks on when the test is over.
    await happened.catch(() => {});
    const reports = await Promise.all(traffic.map((one) => one.stop()));
    await happened;
    return reports;
  }
  const asEver = [
    { failures: [], versions: ["v1"] },
    { failures: [], versions: ["v2"] },
  ];

  test("are away, the control plane, no request notices", async () => {
    const scale = async (replicas: number): Promise<void> => {
      const flags = ["-n", "sidelane", "scale", "deployment/sidelane-control", `--replicas=${replicas}`];
      await world.cluster.kubectl(flags);
      await world.readyPods("sidelane", "app.kubernetes.io/component=control", replicas);
    };
    const reports = await requestsDuring(async () => {
      await scale(0);
      await scale(2);
    });
    expect(reports).toMatchObject(asEver);
  }, 120_000);

  test("are upgraded, no request notices", async () => {
    const levels = Object.fromEntries(roles.map((role) => [`${role}.logLevel`, "debug"]));
    expect(await requestsDuring(() => upgradeSidelane(world, levels))).toMatchObject(asEver);
  }, 240_000);

  test("are killed all at once, no request notices, and what was begun is finished", async () => {
    await world.apply(sandbox("pr-14", forks));
    await world.cluster.kubectl(["-n", "shop", "wait", "sandbox/pr-14", "--for=condition=Available", "--timeout=60s"]);
    // One in the middle of its end, the other in the middle of its making.
    await world.cluster.kubectl(["-n", "shop", "delete", "sandbox", "pr-14", "--wait=false"]);
    await world.apply(sandbox("pr-15", [fork("Deployment", "back", { image: "app/echo:v3" })]));
    const reports = await requestsDuring(() => Promise.all(roles.map((role) => kill(role))));
    expect(reports).toMatchObject(asEver);
    await untilReady("pr-15");
    expect(await said(await address("front"), { baggage: "sidelane=pr-15" })).toMatchObject({
      next: { version: "v3" },
    });
    await world.cluster.api.untilGone("/apis/sidelane.dev/v1alpha1/namespaces/shop/sandboxes", "pr-14");
    await until("nothing is left", async () => (await leftOf("pr-14")) === "");
    await untilReady("pr-13");
    await remove("pr-15");
  }, 240_000);

  test("which put in the sidecar are away, pods start without one, but none of a fork does", async () => {
    const scale = ["-n", "sidelane", "scale", "deployment/sidelane-webhook"];
    await world.cluster.kubectl([...scale, "--replicas=0"]);
    await world.readyPods("sidelane", "app.kubernetes.io/component=webhook", 0);
    await world.apply(
      ...app({ namespace: "shop", name: "late", program: "echo:v1" }),
      sandbox("pr-13", [...forks, fork("Job", "report", { env: [{ name: "OF", value: "pr-13" }] })]),
    );
    expect((await podOf("late")).spec.initContainers).toBeUndefined();
    type Event = KubeObject & { readonly reason: string; readonly involvedObject: { readonly name: string } };
    const about = (reason: string, name: string) => (events: readonly Event[]) =>
      events.some((one) => one.reason === reason && one.involvedObject.name.startsWith(name));
    await world.cluster.api.untilAll<Event>("/api/v1/namespaces/shop/events", about("NoSidecar", "late"));
    await world.cluster.api.untilAll<Event>("/api/v1/namespaces/shop/events", about("FailedCreate", "pr-13-report"));
    await world.cluster.kubectl([...scale, "--replicas=1"]);
    await world.readyPods("sidelane", "app.kubernetes.io/component=webhook");
    expect(await explained(toldTo("pr-13-report"))).toMatchObject({ version: "v2", context: key13 });
  }, 240_000);
});

test("helm uninstall takes all of it away, and the application goes on", async () => {
  await world.apply(sandbox("left", [fork("Deployment", "back", { image: "app/echo:v2" })]));
  await untilReady("left");
  const argv = ["uninstall", "sidelane", "--namespace=sidelane", "--wait", "--timeout=120s"];
  await explained(world.cluster.helm(argv, { withinMs: 150_000 }));
  const kinds = "crds,mutatingwebhookconfigurations,clusterroles,clusterrolebindings";
  expect(await world.cluster.kubectl(["get", kinds, "-o", "name"])).not.toContain("sidelane");
  expect(await world.cluster.kubectl(["-n", "shop", "get", "pods", "-l", "sidelane.dev/fork", "-o", "name"])).toBe("");
  const left = "deployments,services,configmaps,secrets,jobs,leases,roles,rolebindings,serviceaccounts";
  expect(await world.cluster.kubectl(["-n", "sidelane", "get", left, "-o", "name"])).not.toContain("sidelane");
  expect(await world.cluster.kubectl(["-n", "shop", "get", left, "-o", "name"])).not.toMatch(/sidelane|left/u);
  expect(await said(await address("front"), key)).toMatchObject({ next: { version: "v1" } });
}, 240_000);
