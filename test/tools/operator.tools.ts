// The operator between a real API server with its controllers and a real control plane. Needs the programs of `npm run setup:kube`
// and etcd. Pods are only said to run (test/support/kube/fake-node.ts); what they would answer is test/tools/end-to-end.tools.ts.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ProcessLog } from "../../src/telemetry/process-log.ts";
import { silentLog } from "../../src/base/log.ts";
import type { RunningOperator } from "../../src/operator/start-operator.ts";
import { condition, OperatorWorld, OWN_NAMESPACE } from "../support/kube/operator-world.ts";
import type { Status } from "../support/kube/operator-world.ts";
import type { KubeObject } from "../support/kube/kube-api.ts";

let world: OperatorWorld;
let operator: RunningOperator;
beforeAll(async () => {
  world = await OperatorWorld.start();
  operator = await world.startOperator(
    process.env["OPERATOR_LOG"] === undefined ? silentLog : new ProcessLog({ level: "debug" }),
  );
}, 120_000);
afterAll(() => world?.stop());

const fork = (image: string, more: object = {}) => ({
  forks: [{ workload: { kind: "Deployment", name: "checkout" }, containers: [{ name: "app", image }], ...more }],
});

interface Deployment extends KubeObject {
  readonly spec: {
    readonly template: {
      readonly spec: {
        readonly containers: readonly {
          readonly image: string;
          readonly env?: readonly { readonly name: string; readonly value?: string }[];
        }[];
      };
    };
  };
}

const deployments = (namespace: string): string => `/apis/apps/v1/namespaces/${namespace}/deployments`;

describe("services", () => {
  test("are found where pods get sidecars, followed, and forgotten; those that people made stay as they are", async () => {
    await world.ask("PUT", "/v1/services/ledger.found", { hosts: ["ledger"], description: "made by hand" });
    await world.shop("found");
    expect(await world.untilAsked("/v1/services/checkout.found", ({ status }) => status === 200)).toMatchObject({
      hosts: ["checkout.found", "checkout.found.svc", "checkout.found.svc.cluster.local"],
      baseline: ["checkout.found.svc.cluster.local:80"],
      labels: { "app.kubernetes.io/managed-by": "sidelane-operator", "sidelane.dev/namespace": "found" },
    });
    const services = "/api/v1/namespaces/found/services";
    const ports = [
      { name: "http", port: 81 },
      { name: "grpc", port: 90 },
      { name: "dns", port: 53, protocol: "UDP" },
    ];
    await world.api.create(services, { metadata: { name: "ledger" }, spec: { selector: { app: "ledger" }, ports } });
    await world.api.patch(`${services}/checkout`, "merge", { spec: { ports } });
    expect(
      await world.untilAsked("/v1/services/checkout.found", ({ body }) => JSON.stringify(body).includes("grpc")),
    ).toMatchObject({
      ports: { http: 81, grpc: 90 },
      baseline: { http: ["checkout.found.svc.cluster.local:81"], grpc: ["checkout.found.svc.cluster.local:90"] },
    });
    await world.api.delete(`${services}/checkout`);
    await world.untilAsked("/v1/services/checkout.found", ({ status }) => status === 404);
    expect((await world.ask("GET", "/v1/services/ledger.found")).body).toMatchObject({ description: "made by hand" });
    expect((await world.ask("GET", "/v1/services")).body).not.toMatchObject({
      services: [{ name: "kubernetes.default" }],
    });
  });
});

describe("a sandbox", () => {
  test("is forked, routed and answered, follows its baseline, and goes without a trace", async () => {
    const port = await world.startApp();
    await world.shop("whole", port);
    await world.startSidecar("checkout.whole");
    await world.createSandbox(
      "whole",
      "pr-7",
      fork("checkout:2", { containers: [{ name: "app", image: "checkout:2", env: [{ name: "EXTRA", value: "1" }] }] }),
      { team: "shop" },
    );
    const ready = await world.untilSandbox("whole", "pr-7", (one) => condition(one, "Ready")?.status === "True");
    expect(ready.status).toMatchObject({
      key: "pr-7",
      name: "pr-7.whole",
      services: [{ name: "checkout.whole", endpoints: [expect.stringMatching(`:${port}$`)] }],
      forks: [{ workload: "Deployment/checkout", name: "pr-7-checkout", ready: "1/1", image: "checkout:2" }],
    });
    expect((await world.ask("GET", "/v1/sandboxes/pr-7.whole")).body).toMatchObject({
      key: "pr-7",
      labels: { team: "shop", "app.kubernetes.io/managed-by": "sidelane-operator" },
    });
    const made = (await world.api.get(`${deployments("whole")}/pr-7-checkout`)) as Deployment;
    expect(made.metadata.ownerReferences).toMatchObject([{ kind: "Sandbox", name: "pr-7" }]);

    // The newest baseline plus the sandbox's change.
    await world.api.patch(`${deployments("whole")}/checkout`, "strategic", {
      spec: {
        template: {
          spec: { containers: [{ name: "app", image: "checkout:1.1", env: [{ name: "MODE", value: "newer" }] }] },
        },
      },
    });
    const followed = await world.api.until<Deployment>(deployments("whole"), "pr-7-checkout", ({ spec }) =>
      JSON.stringify(spec).includes("newer"),
    );
    expect(followed.spec.template.spec.containers[0]).toMatchObject({
      image: "checkout:2",
      env: expect.arrayContaining([
        { name: "MODE", value: "newer" },
        { name: "EXTRA", value: "1" },
      ]),
    });

    // Somebody's hands in a fork do not last.
    await world.api.patch(`${deployments("whole")}/pr-7-checkout`, "merge", { spec: { replicas: 3 } });
    await world.api.until<KubeObject & { readonly spec: { readonly replicas: number } }>(
      deployments("whole"),
      "pr-7-checkout",
      ({ spec }) => spec.replicas === 1,
    );

    await world.api.delete(`${world.sandboxes("whole")}/pr-7`);
    await world.api.untilGone(world.sandboxes("whole"), "pr-7");
    expect((await world.ask("GET", "/v1/sandboxes/pr-7.whole")).status).toBe(404);
    await world.api.untilGone(deployments("whole"), "pr-7-checkout");
    await world.api.untilGone("/api/v1/namespaces/whole/services", "pr-7-checkout");
  });

  test("says what is wrong with its fork, and with its pods", async () => {
    await world.shop("wrong");
    await world.createSandbox("wrong", "nothing", { forks: [{ workload: { kind: "Deployment", name: "chekout" } }] });
    const unknown = await world.untilSandbox("wrong", "nothing", (one) => condition(one, "Forked")?.status === "False");
    expect(condition(unknown, "Forked")).toMatchObject({
      reason: "UnknownWorkload",
      message: expect.stringContaining("did you mean checkout?"),
    });
    expect(condition(unknown, "Ready")).toMatchObject({ status: "False", reason: "UnknownWorkload" });

    world.behaviours.push(({ metadata, spec }) => {
      if (metadata.namespace !== "wrong") return undefined;
      if (spec.containers[0]?.image === "checkout:crash") return { kind: "waiting", reason: "CrashLoopBackOff" };
      return spec.containers[0]?.image === "checkout:none"
        ? { kind: "waiting", reason: "ImagePullBackOff" }
        : undefined;
    });
    await world.createSandbox("wrong", "crash", fork("checkout:crash"));
    const crash = await world.untilSandbox(
      "wrong",
      "crash",
      (one) => condition(one, "Available")?.reason === "CrashLoop",
    );
    expect(condition(crash, "Available")?.message).toContain("kubectl -n wrong logs crash-checkout");
    // Requests with its key must not reach the baseline meanwhile.
    expect((await world.ask("GET", "/v1/sandboxes/crash.wrong")).body).toMatchObject({
      services: { "checkout.wrong": ["crash-checkout.wrong.svc.cluster.local:8080"] },
    });

    await world.createSandbox("wrong", "image", fork("checkout:none"));
    const image = await world.untilSandbox(
      "wrong",
      "image",
      (one) => condition(one, "Available")?.reason === "ImagePull",
    );
    expect(condition(image, "Available")?.message).toContain("checkout:none");
    // The other image mends it.
    await world.api.patch(`${world.sandboxes("wrong")}/image`, "merge", { spec: fork("checkout:3") });
    await world.untilSandbox("wrong", "image", (one) => condition(one, "Available")?.status === "True");
  });

  test("whose key is taken waits until the older one lets go", async () => {
    await world.shop("taken");
    await world.createSandbox("taken", "older", { key: "k", ...fork("checkout:a") });
    await world.untilSandbox("taken", "older", (one) => condition(one, "Routed")?.status === "True");
    await new Promise((resolve) => setTimeout(resolve, 1000)); // creation times are whole seconds
    await world.createSandbox("taken", "younger", { key: "k", ...fork("checkout:b") });
    const waiting = await world.untilSandbox(
      "taken",
      "younger",
      (one) => condition(one, "Ready")?.reason === "KeyTaken",
    );
    expect(condition(waiting, "Ready")?.message).toContain("the older Sandbox taken/older");
    expect((await world.ask("GET", "/v1/sandboxes/younger.taken")).status).toBe(404);
    await world.api.delete(`${world.sandboxes("taken")}/older`);
    await world.untilSandbox("taken", "younger", (one) => condition(one, "Routed")?.status === "True");
  });

  test("loses forks that its spec lost, and its routes with them", async () => {
    await world.shop("fewer");
    const addresses = ["192.0.2.7:8080"];
    await world.createSandbox("fewer", "pr-1", fork("checkout:2"));
    await world.untilSandbox("fewer", "pr-1", (one) => condition(one, "Available")?.status === "True");
    await world.api.patch(`${world.sandboxes("fewer")}/pr-1`, "merge", {
      spec: { forks: null, endpoints: [{ service: "checkout", addresses }] },
    });
    await world.api.untilGone(deployments("fewer"), "pr-1-checkout");
    expect((await world.ask("GET", "/v1/sandboxes/pr-1.fewer")).body).toMatchObject({
      services: { "checkout.fewer": addresses },
    });
  });

  test("that expires in the control plane is deleted here too", async () => {
    await world.shop("short");
    await world.createSandbox("short", "pr-2", { ttl: "4s", ...fork("checkout:2") });
    const alive = await world.untilSandbox("short", "pr-2", (one) => one.status?.expiresAt !== undefined);
    expect(Date.parse(alive.status?.expiresAt ?? "")).toBeGreaterThan(0);
    await world.api.untilGone(world.sandboxes("short"), "pr-2");
    await world.api.untilGone(deployments("short"), "pr-2-checkout");
  });
});

describe("a route group", () => {
  test("has its sandboxes by name or label, and lets go of those that are deleted", async () => {
    await world.shop("group");
    await world.createSandbox("group", "a", fork("checkout:a"), { release: "42" });
    await world.createSandbox("group", "b", fork("checkout:b"), { release: "42" });
    const groups = "/apis/sidelane.dev/v1alpha1/namespaces/group/routegroups";
    const group = (name: string, spec: object) => ({
      apiVersion: "sidelane.dev/v1alpha1",
      kind: "RouteGroup",
      metadata: { name, namespace: "group" },
      spec,
    });
    await world.api.create(groups, group("named", { sandboxes: ["b", "a"] }));
    await world.api.create(groups, group("labelled", { match: { all: { release: ["42"] } } }));
    const ready = (one: Status): boolean =>
      condition(one, "Ready")?.status === "True" && one.status?.members?.length === 2;
    expect((await world.api.until<Status>(groups, "named", ready)).status?.members).toEqual(["b.group", "a.group"]);
    expect((await world.api.until<Status>(groups, "labelled", ready)).status?.members).toEqual(["a.group", "b.group"]);
    await world.api.delete(`${world.sandboxes("group")}/a`);
    await world.api.untilGone(world.sandboxes("group"), "a");
    const less = await world.api.until<Status>(
      groups,
      "named",
      (one) => condition(one, "Ready")?.reason === "UnknownSandbox",
    );
    expect(less.status?.members).toEqual(["b.group"]);
    await world.api.delete(`${groups}/named`);
    await world.api.untilGone(groups, "named");
    expect((await world.ask("GET", "/v1/groups/named.group")).status).toBe(404);
  });
});

describe("whatever goes away", () => {
  test("a control plane that is down is a condition, and all is made up for when it is back", async () => {
    await world.shop("down");
    await world.createSandbox("down", "pr-3", fork("checkout:2"));
    await world.untilSandbox("down", "pr-3", (one) => condition(one, "Routed")?.status === "True");
    const start = await world.stopControl();
    await world.createSandbox("down", "pr-4", fork("checkout:4"));
    const waiting = await world.untilSandbox(
      "down",
      "pr-4",
      (one) => condition(one, "Routed")?.reason === "ControlUnreachable",
    );
    expect(condition(waiting, "Forked")).toMatchObject({ status: "True" });
    await start();
    await world.untilSandbox("down", "pr-4", (one) => condition(one, "Routed")?.status === "True");
  });

  test("an operator that ends hands over, and nothing is lost meanwhile", async () => {
    await world.shop("over");
    await world.createSandbox("over", "pr-5", fork("checkout:2"));
    await world.untilSandbox("over", "pr-5", (one) => condition(one, "Available")?.status === "True");
    const second = await world.startOperator();
    expect(operator.isLeader()).toBe(true);
    expect(second.isLeader()).toBe(false);
    await world.stopOperator(operator);
    // Neither this one was seen by the first, nor that one's deletion.
    await world.createSandbox("over", "pr-6", fork("checkout:3"));
    await world.api.delete(`${world.sandboxes("over")}/pr-5`);
    await world.untilSandbox("over", "pr-6", (one) => condition(one, "Routed")?.status === "True");
    await world.api.untilGone(world.sandboxes("over"), "pr-5");
    expect(second.isLeader()).toBe(true);
    operator = second;
    const lease = (await world.api.get(
      `/apis/coordination.k8s.io/v1/namespaces/${OWN_NAMESPACE}/leases/sidelane-operator`,
    )) as unknown as {
      readonly spec: { readonly leaseTransitions: number };
    };
    expect(lease.spec.leaseTransitions).toBeGreaterThan(0);
  });

  test("an API server that was away is followed again", async () => {
    await world.shop("away");
    await world.cluster.killApiServer();
    await world.cluster.restartApiServer();
    await world.createSandbox("away", "pr-8", fork("checkout:2"));
    const routed = await world.untilSandbox(
      "away",
      "pr-8",
      (one) => condition(one, "Routed")?.status === "True",
      55_000,
    );
    expect(condition(routed, "Forked")?.status).toBe("True");
  });
});

describe("pods without a sidecar", () => {
  test("are reported with what to do, and counted", async () => {
    await world.shop("bare");
    await world.api.patch(`${deployments("bare")}/checkout`, "merge", {
      spec: { template: { metadata: { annotations: { "sidelane.dev/injected": null } } } },
    });
    const events = await world.api.untilAll<KubeObject & { readonly reason: string; readonly message: string }>(
      "/api/v1/namespaces/bare/events",
      (all) => all.some(({ reason }) => reason === "NoSidecar"),
    );
    expect(events.find(({ reason }) => reason === "NoSidecar")?.message).toContain(
      "kubectl -n bare rollout restart deployment/checkout",
    );
    const metrics = await (await fetch(`http://${operator.admin}/metrics`)).text();
    expect(metrics).toContain('sidelane_operator_pods_without_sidecar{namespace="bare"} 1');
    expect(metrics).toContain("sidelane_operator_leader 1");
    expect(await (await fetch(`http://${operator.admin}/ready`)).json()).toMatchObject({ ready: true, leader: true });
  });
});
