// Sidelane in a real Kubernetes, from `helm install` to the last `kubectl delete`, without processes in pods: a node that runs
// nothing takes them, and control plane, operator and webhook are processes beside it with the chart's configs and rights. What
// requests do is in end-to-end.tools.ts. Needs the programs of `npm run setup:kube`, etcd, `ip` and root.
//
// Long because one installation serves all of it.
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFailed, test } from "vitest";
import { startCluster } from "../support/kube/cluster.ts";
import type { Cluster } from "../support/kube/cluster.ts";
import type { Behaviour, Pod, PodContainer } from "../support/kube/fake-node.ts";
import { Installation, expectSoon } from "../support/kube/installation.ts";
import type { KubeObject } from "../support/kube/kube-api.ts";

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

interface Sandbox extends KubeObject {
  readonly status?: {
    readonly key?: string;
    readonly name?: string;
    readonly observedGeneration?: number;
    readonly conditions?: readonly Condition[];
  };
}

interface Deployment extends KubeObject {
  readonly spec: { readonly replicas: number; readonly template: { readonly spec: Pod["spec"] } };
}

interface Event extends KubeObject {
  readonly reason: string;
  readonly message: string;
  readonly involvedObject: { readonly kind: string; readonly name: string };
}

let cluster: Cluster;
let sidelane: Installation;

beforeAll(async () => {
  cluster = await startCluster();
  sidelane = await Installation.start(cluster);
}, 180_000);
afterAll(async () => {
  await sidelane?.stop();
  await cluster?.stop();
}, 60_000);
beforeEach(() => onTestFailed(() => console.error(sidelane.logs())));

const inNamespace = (namespace: string, ...args: readonly string[]): Promise<string> =>
  cluster.kubectl(["--namespace", namespace, ...args]);
const apply = (...items: readonly object[]): Promise<string> =>
  cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify({ apiVersion: "v1", kind: "List", items }) });
const sandboxes = (namespace: string): string => `/apis/sidelane.dev/v1alpha1/namespaces/${namespace}/sandboxes`;
const deployments = (namespace: string): string => `/apis/apps/v1/namespaces/${namespace}/deployments`;
const podsOf = (namespace: string, selector = ""): string =>
  `/api/v1/namespaces/${namespace}/pods${selector === "" ? "" : `?labelSelector=${encodeURIComponent(selector)}`}`;

let shops = 0;

/** A namespace with sidecars and a Deployment `checkout` behind a Service, its pods ready. */
async function openShop(
  labels: Readonly<Record<string, string>> = { "sidelane.dev/injection": "enabled" },
): Promise<string> {
  const name = `shop-${++shops}`;
  await apply({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
  await cluster.api.until(`/api/v1/namespaces/${name}/serviceaccounts`, "default", () => true);
  await apply(...appOf(name, "checkout"));
  await inNamespace(name, "rollout", "status", "deployment/checkout", "--timeout=40s");
  return name;
}

function appOf(namespace: string, app: string, more: object = {}): readonly object[] {
  const labels = { app };
  const container = {
    ...{ name: "app", image: `shop/${app}:1`, ports: [{ name: "http", containerPort: 8080 }] },
    env: [{ name: "COLOUR", value: "blue" }],
    readinessProbe: { httpGet: { path: "/healthz", port: 8080 } },
    ...more,
  };
  return [
    {
      ...{ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: app, namespace, labels } },
      spec: {
        replicas: 2,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [container] } },
      },
    },
    {
      ...{ apiVersion: "v1", kind: "Service", metadata: { name: app, namespace } },
      spec: { selector: labels, ports: [{ name: "http", port: 80, targetPort: "http" }] },
    },
  ];
}

const sandboxOf = (namespace: string, name: string, spec: object): object => ({
  ...{ apiVersion: "sidelane.dev/v1alpha1", kind: "Sandbox", metadata: { namespace, name } },
  spec,
});

const forkOf = (image: string, more: object = {}): object => ({
  ...{ workload: { kind: "Deployment", name: "checkout" } },
  containers: [{ name: "app", image, ...more }],
});

function conditionOf({ status }: Sandbox, type: string): Condition | undefined {
  return status?.conditions?.find((condition) => condition.type === type);
}

/** The Sandbox as soon as a condition of it says so. */
function untilCondition(
  namespace: string,
  name: string,
  type: string,
  accept: (condition: Condition) => boolean,
): Promise<Sandbox> {
  return cluster.api.until<Sandbox>(sandboxes(namespace), name, (sandbox) => {
    const condition = conditionOf(sandbox, type);
    return condition !== undefined && accept(condition);
  });
}

const isTrue = ({ status }: Condition): boolean => status === "True";

function containerOf(containers: readonly PodContainer[] | undefined, name: string): PodContainer | undefined {
  return containers?.find((container) => container.name === name);
}

/** The API server keeps whole seconds of creation: of two in one second, neither is the older. */
function nextSecond({ metadata }: KubeObject): Promise<void> {
  const next = Date.parse(metadata.creationTimestamp) + 1000;
  return expectSoon("the next second", () => Promise.resolve(Date.now() >= next));
}

describe("an installation", () => {
  test("has definitions that explain themselves", async () => {
    expect(await cluster.kubectl(["explain", "sandbox.spec.forks"])).toMatch(/FIELD: forks[^]*workload[^]*-required-/u);
    expect(await cluster.kubectl(["explain", "routegroup.spec"])).toContain("DESCRIPTION");
  });

  test("answers a developer with a token of the cluster, and nobody else", async () => {
    expect((await sidelane.control("GET", "/v1/sandboxes")).status).toBe(200);
  });
});

describe("a pod", () => {
  test("gets its sidecar before it is stored", async () => {
    const shop = await openShop();
    const [pod] = await cluster.api.list<Pod>(podsOf(shop, "app=checkout"));
    expect(pod?.metadata.annotations).toMatchObject({
      "sidelane.dev/injected": expect.stringMatching(/^\d+\.\d+\.\d+/u),
      "sidelane.dev/proxy-config": expect.stringContaining(`checkout.${shop}`),
    });
    const sidecar = containerOf(pod?.spec.initContainers, "sidelane");
    expect(sidecar).toMatchObject({ restartPolicy: "Always", args: expect.arrayContaining(["proxy"]) });
    expect(containerOf(pod?.spec.initContainers, "sidelane-intercept")).toBeDefined();
    expect(pod?.spec.volumes?.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["sidelane-config", "sidelane-token", "sidelane-ca", "sidelane-data"]),
    );
    // What its volumes need is in its namespace.
    const ca = await cluster.api.get<{ readonly data: Record<string, string> }>(
      `/api/v1/namespaces/${shop}/configmaps/sidelane-ca`,
    );
    expect(ca.data["ca.crt"]).toContain("BEGIN CERTIFICATE");
  });

  test("gets none where nobody asked for one, nor when it says no", async () => {
    const elsewhere = await openShop({});
    const [plain] = await cluster.api.list<Pod>(podsOf(elsewhere, "app=checkout"));
    expect(containerOf(plain?.spec.initContainers, "sidelane")).toBeUndefined();
    const shop = await openShop();
    const annotations = { "sidelane.dev/inject": "false" };
    const pod = await cluster.api.create<Pod>(podsOf(shop), {
      metadata: { name: "out", annotations },
      spec: { containers: [{ name: "app", image: "x" }] },
    });
    expect(pod.spec.initContainers).toBeUndefined();
  });

  test("that should have one and has none is reported", async () => {
    const shop = await openShop();
    await sidelane.role("webhook").stop();
    try {
      // The API server waits for nobody: the pods are made all the same.
      await inNamespace(shop, "rollout", "restart", "deployment/checkout");
      await inNamespace(shop, "rollout", "status", "deployment/checkout", "--timeout=40s");
      const [event] = await cluster.api.untilAll<Event>(`/api/v1/namespaces/${shop}/events`, (events) =>
        events.some(({ message, involvedObject }) => involvedObject.kind === "Pod" && /sidecar/iu.test(message)),
      );
      expect(event).toBeDefined();
      await expectSoon("the metric says so", async () => {
        const { body } = await sidelane.role("operator").ask("/metrics");
        const lines = body.split("\n").filter((line) => line.startsWith("sidelane_operator_pods_without_sidecar"));
        return lines.some((line) => Number(line.split(" ").at(-1)) > 0);
      });
    } finally {
      await sidelane.startRole("webhook");
      await sidelane.ready();
    }
  }, 120_000);
});

describe("a Service", () => {
  test("is a service of the control plane, with the Service as its baseline, as long as it is there", async () => {
    const shop = await openShop();
    const path = `/v1/services/checkout.${shop}`;
    await expectSoon("it is declared", async () => (await sidelane.control("GET", path)).status === 200);
    const { json } = await sidelane.control("GET", path);
    const full = `checkout.${shop}.svc.cluster.local`;
    expect(JSON.stringify(json)).toContain(`"baseline":["${full}:80"]`);
    expect(JSON.stringify(json)).toContain(JSON.stringify([`checkout.${shop}`, `checkout.${shop}.svc`, full]));
    await inNamespace(shop, "delete", "service", "checkout");
    await expectSoon("it is gone", async () => (await sidelane.control("GET", path)).status === 404);
  });
});

describe("a Sandbox", () => {
  test("forks a workload, and the table leads to the fork's pods", async () => {
    const shop = await openShop();
    await apply(
      sandboxOf(shop, "pr-7", {
        key: `pr-7-${shop}`,
        forks: [forkOf("shop/checkout:pr-7", { env: [{ name: "COLOUR", value: "red" }] })],
      }),
    );
    await untilCondition(shop, "pr-7", "Forked", isTrue);
    await untilCondition(shop, "pr-7", "Available", isTrue);
    const fork = await cluster.api.get<Deployment>(`${deployments(shop)}/pr-7-checkout`);
    const container = containerOf(fork.spec.template.spec.containers, "app");
    expect(container).toMatchObject({ image: "shop/checkout:pr-7", env: [{ name: "COLOUR", value: "red" }] });
    expect(fork.spec.replicas).toBe(1);
    expect(fork.metadata.ownerReferences).toMatchObject([{ kind: "Sandbox", name: "pr-7" }]);
    // The baseline's Service has its own two pods, and not the fork's.
    const pods = await cluster.api.list<Pod>(podsOf(shop, "sidelane.dev/fork"));
    expect(pods).toHaveLength(1);
    const ip = pods[0]?.status?.podIP ?? "";
    const slices = await inNamespace(
      shop,
      "get",
      "endpointslices",
      "-l",
      "kubernetes.io/service-name=checkout",
      "-o",
      "json",
    );
    expect(slices).not.toContain(`"${ip}"`);
    const path = `/v1/sandboxes/pr-7.${shop}`;
    await expectSoon("the table leads there", async () =>
      JSON.stringify((await sidelane.control("GET", path)).json).includes(`"${ip}:8080"`),
    );
    const columns = await inNamespace(shop, "get", "sbx");
    expect(columns).toMatch(/^NAME +KEY +READY +REASON +SERVICES +AGE\n/u);
    expect(columns).toMatch(new RegExp(`^pr-7 +pr-7-${shop} +(?:True|False|Unknown) +\\w+ +\\S*checkout`, "mu"));
  });

  test("follows its baseline and keeps its change", async () => {
    const shop = await openShop();
    await apply(sandboxOf(shop, "follow", { key: shop, forks: [forkOf("shop/checkout:mine")] }));
    await untilCondition(shop, "follow", "Available", isTrue);
    await inNamespace(shop, "set", "env", "deployment/checkout", "COLOUR=green", "NEW=yes");
    const { spec } = await cluster.api.until<Deployment>(deployments(shop), "follow-checkout", ({ spec }) =>
      JSON.stringify(spec.template.spec.containers).includes('"NEW"'),
    );
    const container = containerOf(spec.template.spec.containers, "app");
    expect(container?.image).toBe("shop/checkout:mine");
    expect(container?.env).toEqual([
      { name: "COLOUR", value: "green" },
      { name: "NEW", value: "yes" },
    ]);
  });

  test("says what is wrong with its pods", async () => {
    const shop = await openShop();
    const images = new Map<string, Behaviour>([
      [
        "shop/checkout:crash",
        { kind: "waiting", container: "app", reason: "CrashLoopBackOff", message: "back-off 5m0s" },
      ],
      ["shop/checkout:none", { kind: "waiting", container: "app", reason: "ImagePullBackOff", message: "not found" }],
    ]);
    sidelane.behave = ({ spec }) => images.get(containerOf(spec.containers, "app")?.image ?? "") ?? { kind: "running" };
    await apply(sandboxOf(shop, "broken", { key: shop, forks: [forkOf("shop/checkout:none")] }));
    const missing = await untilCondition(shop, "broken", "Available", ({ message }) => /pull|image/iu.test(message));
    expect(conditionOf(missing, "Available")).toMatchObject({
      status: "False",
      message: expect.stringContaining("shop/checkout:none"),
    });
    expect(conditionOf(missing, "Ready")?.status).toBe("False");
    // The pod before stays until its successor is ready; what counts is the successor.
    const [before] = await cluster.api.list<Pod>(podsOf(shop, "sidelane.dev/fork"));
    if (before !== undefined) await nextSecond(before);
    await apply(sandboxOf(shop, "broken", { key: shop, forks: [forkOf("shop/checkout:crash")] }));
    const crashing = await untilCondition(shop, "broken", "Available", ({ message }) =>
      /crash|restart|ends|exit/iu.test(message),
    );
    expect(conditionOf(crashing, "Available")?.status).toBe("False");
    // And that it is well again.
    await apply(sandboxOf(shop, "broken", { key: shop, forks: [forkOf("shop/checkout:good")] }));
    await untilCondition(shop, "broken", "Available", isTrue);
  });

  test("says that its workload is not there, and goes on when it comes", async () => {
    const shop = await openShop();
    const workload = { kind: "Deployment", name: "later" };
    await apply(sandboxOf(shop, "early", { key: shop, forks: [{ workload }] }));
    const waiting = await untilCondition(shop, "early", "Forked", ({ status }) => status === "False");
    expect(conditionOf(waiting, "Forked")?.message).toContain("later");
    await apply(...appOf(shop, "later"));
    await untilCondition(shop, "early", "Available", isTrue);
  });

  test("with the key of an older one says whose it is, and gets it when that is gone", async () => {
    const shop = await openShop();
    await apply(sandboxOf(shop, "older", { key: shop, forks: [forkOf("shop/checkout:a")] }));
    const older = await untilCondition(shop, "older", "Available", isTrue);
    await nextSecond(older);
    await apply(sandboxOf(shop, "younger", { key: shop, forks: [forkOf("shop/checkout:b")] }));
    const refused = await untilCondition(shop, "younger", "Ready", ({ reason }) => reason === "KeyTaken");
    expect(conditionOf(refused, "Ready")).toMatchObject({ status: "False", message: expect.stringContaining("older") });
    await inNamespace(shop, "delete", "sandbox", "older", "--timeout=40s");
    await untilCondition(shop, "younger", "Available", isTrue);
  });

  test("is changed in Kubernetes alone", async () => {
    const shop = await openShop();
    await apply(sandboxOf(shop, "owned", { key: shop, forks: [forkOf("shop/checkout:a")] }));
    await untilCondition(shop, "owned", "Available", isTrue);
    const path = `/v1/sandboxes/owned.${shop}`;
    await expectSoon("it is in the table", async () => (await sidelane.control("GET", path)).status === 200);
    const refused = await sidelane.control("DELETE", path);
    expect(refused.status).toBe(409);
    expect(JSON.stringify(refused.json)).toContain(`kubectl -n ${shop} edit sandbox owned`);
  });

  test("leaves nothing behind when it is deleted", async () => {
    const shop = await openShop();
    await apply(sandboxOf(shop, "gone", { key: shop, forks: [forkOf("shop/checkout:a")] }));
    await untilCondition(shop, "gone", "Available", isTrue);
    const path = `/v1/sandboxes/gone.${shop}`;
    await expectSoon("it is in the table", async () => (await sidelane.control("GET", path)).status === 200);
    await inNamespace(shop, "delete", "sandbox", "gone", "--timeout=40s");
    expect((await sidelane.control("GET", path)).status).toBe(404);
    await cluster.api.untilGone(deployments(shop), "gone-checkout");
    await cluster.api.untilGone(`/api/v1/namespaces/${shop}/services`, "gone-checkout");
    await cluster.api.untilAll(podsOf(shop, "sidelane.dev/fork"), (pods) => pods.length === 0);
  });

  test("goes with its namespace", async () => {
    const shop = await openShop();
    await apply(sandboxOf(shop, "inside", { key: shop, forks: [forkOf("shop/checkout:a")] }));
    await untilCondition(shop, "inside", "Available", isTrue);
    await cluster.kubectl(["delete", "namespace", shop, "--timeout=100s"]);
    await expectSoon(
      "the table forgets it",
      async () => (await sidelane.control("GET", `/v1/sandboxes/inside.${shop}`)).status === 404,
    );
    await expectSoon(
      "and its services",
      async () => (await sidelane.control("GET", `/v1/services/checkout.${shop}`)).status === 404,
    );
  }, 120_000);
});

describe("a RouteGroup", () => {
  test("is a group of the control plane", async () => {
    const shop = await openShop();
    const group = {
      apiVersion: "sidelane.dev/v1alpha1",
      kind: "RouteGroup",
      metadata: { namespace: shop, name: "release" },
    };
    await apply({ ...group, spec: { key: `release-${shop}`, match: { all: { release: ["42"] } } } });
    const path = `/v1/groups/release.${shop}`;
    await expectSoon("it is there", async () => (await sidelane.control("GET", path)).status === 200);
    expect(await inNamespace(shop, "get", "rg")).toContain(`release-${shop}`);
    await inNamespace(shop, "delete", "routegroup", "release", "--timeout=40s");
    expect((await sidelane.control("GET", path)).status).toBe(404);
  });
});

describe("when something is away", () => {
  test("the API server: what comes afterwards is done as before", async () => {
    const shop = await openShop();
    await cluster.restartApiServer();
    await apply(sandboxOf(shop, "after", { key: shop, forks: [forkOf("shop/checkout:a")] }));
    await untilCondition(shop, "after", "Available", isTrue);
    await expectSoon(
      "it is in the table",
      async () => (await sidelane.control("GET", `/v1/sandboxes/after.${shop}`)).status === 200,
    );
  }, 120_000);

  test("the operator: what was written and deleted meanwhile is made up for", async () => {
    const shop = await openShop();
    await apply(sandboxOf(shop, "before", { key: `${shop}-1`, forks: [forkOf("shop/checkout:a")] }));
    await untilCondition(shop, "before", "Available", isTrue);
    await sidelane.role("operator").stop();
    await inNamespace(shop, "delete", "sandbox", "before", "--wait=false");
    await apply(sandboxOf(shop, "meanwhile", { key: `${shop}-2`, forks: [forkOf("shop/checkout:b")] }));
    await sidelane.startRole("operator");
    await untilCondition(shop, "meanwhile", "Available", isTrue);
    await cluster.api.untilGone(sandboxes(shop), "before");
    expect((await sidelane.control("GET", `/v1/sandboxes/before.${shop}`)).status).toBe(404);
  }, 120_000);

  test("the control plane: it is told when it is back, from the same store", async () => {
    const shop = await openShop();
    await sidelane.role("control").stop();
    await apply(sandboxOf(shop, "patient", { key: shop, forks: [forkOf("shop/checkout:a")] }));
    await untilCondition(shop, "patient", "Available", isTrue);
    await sidelane.startRole("control");
    await expectSoon(
      "it is in the table",
      async () => (await sidelane.control("GET", `/v1/sandboxes/patient.${shop}`)).status === 200,
    );
  }, 120_000);
});
