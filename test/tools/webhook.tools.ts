// The webhook as a process of its own, asked by a real API server: what it stores is what a cluster would run. Needs the programs
// of `npm run setup:kube` and etcd.
//
// Long because one cluster serves all of it.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { rename, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { createServer, request } from "node:https";
import { type AddressInfo, connect as connectPlain } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { connect } from "node:tls";
import { parseArgs } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { loadConfig } from "../../src/config/load-config.ts";
import { parseInterception } from "../../src/intercept/interception.ts";
import { cases, reviewOf } from "../../src/webhook/pod/cases.ts";
import { reviewPod } from "../../src/webhook/pod/review-pod.ts";
import { makeAuthority } from "../support/certificates.ts";
import type { Authority } from "../support/certificates.ts";
import { startCluster } from "../support/kube/cluster.ts";
import type { Cluster } from "../support/kube/cluster.ts";

interface Container {
  readonly name: string;
  readonly restartPolicy?: string;
  readonly args?: readonly string[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
}

interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec: { readonly containers: readonly Container[]; readonly initContainers?: readonly Container[] };
}

const main = join(import.meta.dirname, "../../src/main.ts");

let cluster: Cluster;
let authority: Authority;
let webhook: Webhook;

/** `sidelane webhook` with the rights that it has in a cluster. */
class Webhook {
  readonly child: ChildProcess;
  readonly admin: string;
  readonly port: number;

  static async start(port = 0): Promise<Webhook> {
    const kubeconfig = await cluster.kubeconfigFor("sidelane", "sidelane-webhook");
    const config = {
      address: `127.0.0.1:${port}`,
      admin: { address: "127.0.0.1:0" },
      tls: { certificate: "tls.crt", key: "tls.key" },
      kubeconfig,
      namespace: "sidelane",
      sidecar: { image: "registry.example/sidelane:0.1.0" },
      limits: { connectionsMax: 32 },
      timeouts: { drainMs: 0 },
      log: { level: "debug" },
    };
    const file = join(cluster.folder, "webhook.yaml");
    await writeFile(file, JSON.stringify(config));
    const child = fork(main, ["webhook", "--config", file], {
      execArgv: [],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    let log = "";
    child.stderr?.setEncoding("utf8").on("data", (part: string) => void (log += part));
    const ended = once(child, "exit").then(([code]) =>
      Promise.reject(new Error(`it ended with ${String(code)}: ${log}`)),
    );
    ended.catch(() => {});
    const [message] = (await Promise.race([once(child, "message"), ended])) as [
      { readonly listeners: { readonly reviews: string }; readonly admin: string },
    ];
    const { reviews } = message.listeners;
    const started = new Webhook(child, message.admin, Number(reviews.slice(reviews.lastIndexOf(":") + 1)));
    const isReady = async (): Promise<void> => {
      const { status } = await fetch(`http://${started.admin}/ready`);
      if (status !== 200) throw new Error(`it is not ready: ${log}`);
    };
    await vi.waitFor(isReady, { timeout: 20_000 });
    return started;
  }

  constructor(child: ChildProcess, admin: string, port: number) {
    this.child = child;
    this.admin = admin;
    this.port = port;
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exit = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await exit;
  }

  /** Reviews of every result together. */
  async reviews(): Promise<number> {
    const metrics = await (await fetch(`http://${this.admin}/metrics`)).text();
    return Number(/^sidelane_webhook_review_duration_seconds_count (\d+)$/mu.exec(metrics)?.[1]);
  }
}

/** As the chart makes it, but for the address: what listens on loopback has to be named by URL. */
function configuration(port: number, more: object = {}): object {
  const notOurs = { key: "kubernetes.io/metadata.name", operator: "NotIn", values: ["sidelane", "kube-system"] };
  const webhookOf = (name: string, injection: string, objects: object) => ({
    name: `${name}.injection.sidelane.dev`,
    admissionReviewVersions: ["v1"],
    clientConfig: {
      url: `https://127.0.0.1:${port}/inject`,
      caBundle: Buffer.from(authority.certificate).toString("base64"),
    },
    rules: [{ apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["pods"], scope: "Namespaced" }],
    namespaceSelector: {
      matchExpressions: [notOurs, { key: "sidelane.dev/injection", operator: "In", values: [injection] }],
    },
    objectSelector: objects,
    matchConditions: [
      { name: "own-network", expression: "!has(object.spec.hostNetwork) || !object.spec.hostNetwork" },
      { name: "not-sidelane", expression: 'request.namespace != "sidelane"' },
    ],
    failurePolicy: "Ignore",
    matchPolicy: "Equivalent",
    reinvocationPolicy: "IfNeeded",
    sideEffects: "None",
    timeoutSeconds: 5,
    ...more,
  });
  const notOut = { matchExpressions: [{ key: "sidelane.dev/inject", operator: "NotIn", values: ["false"] }] };
  return {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "MutatingWebhookConfiguration",
    metadata: { name: "sidelane" },
    webhooks: [webhookOf("enabled", "enabled", notOut), webhookOf("on-request", "on-request", notOut)],
  };
}

const CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

async function configure(more: object = {}): Promise<void> {
  await cluster.api.patch(
    `${CONFIGURATIONS}/sidelane?fieldManager=test&force=true`,
    "apply",
    configuration(webhook.port, more),
  );
}

let namespaces = 0;

/** A namespace in which pods are injected at the end of this call, the API server having learned of everything. */
async function shop(labels: Readonly<Record<string, string>> = {}): Promise<string> {
  const name = `shop-${++namespaces}`;
  const all = { "sidelane.dev/injection": "enabled", ...labels };
  await cluster.api.create("/api/v1/namespaces", { metadata: { name, labels: all } });
  await cluster.api.until(`/api/v1/namespaces/${name}/serviceaccounts`, "default", () => true);
  return name;
}

const restrictedContext = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ["ALL"] },
  runAsNonRoot: true,
  seccompProfile: { type: "RuntimeDefault" },
};

function podOf(name: string, metadata: object = {}, spec: object = {}): object {
  const ports = [{ name: "http", containerPort: 8080 }];
  const app = { name: "app", image: "shop/checkout", ports, securityContext: restrictedContext };
  return { metadata: { name, labels: { app: "checkout" }, ...metadata }, spec: { containers: [app], ...spec } };
}

const create = (namespace: string, pod: object, query = ""): Promise<Pod> =>
  cluster.api.create<Pod>(`/api/v1/namespaces/${namespace}/pods${query}`, pod);

async function makeService(namespace: string, targetPort: number | string): Promise<void> {
  await cluster.api.create(`/api/v1/namespaces/${namespace}/services`, {
    metadata: { name: "checkout" },
    spec: { selector: { app: "checkout" }, ports: [{ name: "web", port: 80, targetPort }] },
  });
}

const initNames = ({ spec }: Pod): readonly string[] => (spec.initContainers ?? []).map(({ name }) => name);
const configOf = ({ metadata }: Pod): string => metadata.annotations?.["sidelane.dev/proxy-config"] ?? "";

/** The files as a Secret's volume replaces them: each at once. */
async function putCertificate(): Promise<string> {
  const pair = await authority.sign("sidelane-webhook", { addresses: ["127.0.0.1"] });
  for (const [name, content] of [
    ["tls.key", pair.key],
    ["tls.crt", pair.certificate],
  ] as const) {
    await writeFile(join(cluster.folder, `${name}.new`), content);
    await rename(join(cluster.folder, `${name}.new`), join(cluster.folder, name));
  }
  return pair.certificate;
}

beforeAll(async () => {
  cluster = await startCluster();
  authority = await makeAuthority("Webhook Authority");
  await putCertificate();
  await cluster.apply(
    JSON.stringify({
      apiVersion: "v1",
      kind: "List",
      items: [
        {
          apiVersion: "v1",
          kind: "Namespace",
          metadata: { name: "sidelane", labels: { "sidelane.dev/injection": "enabled" } },
        },
        {
          apiVersion: "rbac.authorization.k8s.io/v1",
          kind: "ClusterRole",
          metadata: { name: "sidelane-webhook" },
          rules: [{ apiGroups: [""], resources: ["namespaces", "services"], verbs: ["get", "list", "watch"] }],
        },
        {
          apiVersion: "rbac.authorization.k8s.io/v1",
          kind: "ClusterRoleBinding",
          metadata: { name: "sidelane-webhook" },
          roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "sidelane-webhook" },
          subjects: [{ kind: "ServiceAccount", name: "sidelane-webhook", namespace: "sidelane" }],
        },
      ],
    }),
  );
  webhook = await Webhook.start();
  await configure();
  // The API server reads configurations once a second or so.
  const probe = await shop();
  const isCalled = async (): Promise<void> => {
    const names = initNames(await create(probe, podOf("probe"), "?dryRun=All"));
    if (!names.includes("sidelane")) throw new Error(`the API server does not call the webhook\n${cluster.logs()}`);
  };
  await vi.waitFor(isCalled, { timeout: 30_000, interval: 100 });
}, 180_000);

afterAll(async () => {
  await webhook?.stop();
  await cluster?.stop();
});

describe("pods are stored", () => {
  test("with the sidecar, by whatever makes them", async () => {
    const namespace = await shop();
    await makeService(namespace, "http");
    const template = podOf(
      "",
      { name: undefined },
      {
        initContainers: [{ name: "migrate", image: "shop/migrate" }],
      },
    );
    await cluster.api.create(`/apis/apps/v1/namespaces/${namespace}/deployments`, {
      metadata: { name: "checkout" },
      spec: { replicas: 2, selector: { matchLabels: { app: "checkout" } }, template },
    });
    const pods = await cluster.api.untilAll(`/api/v1/namespaces/${namespace}/pods`, (all) => all.length === 2);
    for (const pod of pods as unknown as readonly Pod[]) {
      expect(initNames(pod)).toEqual(["sidelane-intercept", "sidelane", "migrate"]);
      expect(pod.spec.initContainers?.[0]?.args).toEqual(["intercept", "--inbound", "8080:15100", "--user", "15065"]);
      expect(pod.spec.initContainers?.[1]).toMatchObject({
        restartPolicy: "Always",
        startupProbe: { httpGet: { path: "/ready", port: 15_004 } },
      });
      expect(pod.spec.containers.map(({ name }) => name)).toEqual(["app"]);
      expect(pod.metadata.annotations).toMatchObject({ "sidelane.dev/injected": expect.any(String) as string });
      const loaded = loadConfig(configOf(pod), "proxy.yaml", {});
      expect(loaded).toMatchObject({ ok: true, config: { service: `checkout.${namespace}` } });
    }
  });

  test("with it when the namespace has had its label for a moment", async () => {
    for (let round = 0; round < 5; round++) {
      const name = `shop-${++namespaces}`;
      const collection = "/api/v1/namespaces";
      await cluster.api.create(collection, { metadata: { name } });
      await cluster.api.until(`${collection}/${name}/serviceaccounts`, "default", () => true);
      await cluster.api.patch(`${collection}/${name}`, "merge", {
        metadata: { labels: { "sidelane.dev/injection": "enabled" } },
      });
      // The API server's own copy may lag as well; what it asks about is injected.
      await expect
        .poll(async () => initNames(await create(name, podOf("p"), "?dryRun=All")), { interval: 20 })
        .toContain("sidelane");
    }
  });

  test("not at all when it is a dry run, which shows the same pod", async () => {
    const namespace = await shop();
    const shown = await create(namespace, podOf("checkout"), "?dryRun=All");
    expect(initNames(shown)).toEqual(["sidelane-intercept", "sidelane"]);
    expect(await cluster.api.list(`/api/v1/namespaces/${namespace}/pods`)).toEqual([]);
    const stored = await create(namespace, podOf("checkout"));
    expect(configOf(stored)).toBe(configOf(shown));
  });

  test("with one sidecar where another webhook adds containers after us", async () => {
    const pair = await authority.sign("mesh", { addresses: ["127.0.0.1"] });
    const patch = [{ op: "add", path: "/spec/containers/0", value: { name: "mesh", image: "mesh" } }];
    const answerTo = (body: string): string => {
      const { request } = JSON.parse(body) as { readonly request: { readonly uid: string; readonly object: Pod } };
      const has = request.object.spec.containers.some(({ name }) => name === "mesh");
      const encoded = Buffer.from(JSON.stringify(patch)).toString("base64");
      const response = { uid: request.uid, allowed: true, ...(has ? {} : { patchType: "JSONPatch", patch: encoded }) };
      return JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", response });
    };
    const mesh = createServer({ cert: pair.certificate, key: pair.key }, (request, response) => {
      response.setHeader("content-type", "application/json");
      void text(request).then((body) => response.end(answerTo(body)));
    });
    mesh.listen(0, "127.0.0.1");
    await once(mesh, "listening");
    const namespace = await shop({ mesh: "yes" });
    const { webhooks } = configuration((mesh.address() as AddressInfo).port) as {
      readonly webhooks: readonly object[];
    };
    const selector = { namespaceSelector: { matchLabels: { mesh: "yes" } }, name: "mesh.example.com" };
    // Webhooks are called in the order of their configurations' names.
    await cluster.api.create(CONFIGURATIONS, {
      metadata: { name: "zz-mesh" },
      webhooks: [{ ...webhooks[0], ...selector }],
    });
    onTestFinished(async () => {
      await cluster.api.delete(`${CONFIGURATIONS}/zz-mesh`);
      mesh.closeAllConnections();
      mesh.close();
    });
    const names = async () =>
      (await create(namespace, podOf("p"), "?dryRun=All")).spec.containers.map(({ name }) => name);
    await expect.poll(names, { timeout: 20_000, interval: 100 }).toContain("mesh");
    const before = await webhook.reviews();
    const pod = await create(namespace, podOf("checkout"));
    expect(initNames(pod)).toEqual(["sidelane-intercept", "sidelane"]);
    expect(pod.spec.containers.map(({ name }) => name)).toEqual(["mesh", "app"]);
    // Asked again because the pod has changed since.
    expect(await webhook.reviews()).toBe(before + 2);
  });
});

test("the rules of every pod can be laid", () => {
  const flags = {
    inbound: { type: "string", multiple: true },
    outbound: { type: "string", multiple: true },
    "exclude-source": { type: "string", multiple: true },
    "exclude-destination": { type: "string", multiple: true },
    user: { type: "string" },
  } as const;
  const containers = Object.values(cases).flatMap((one): readonly Container[] => {
    const outcome = reviewPod(reviewOf(one));
    if (outcome.kind !== "injected") return [];
    return outcome.patch.flatMap((step) => (step.op === "add" ? ([step.value].flat() as readonly Container[]) : []));
  });
  const all = containers.filter(({ name }) => name === "sidelane-intercept");
  expect(all.length).toBeGreaterThan(20);
  for (const { args = [] } of all) {
    const { values } = parseArgs({ args: args.slice(1), options: flags, strict: true });
    const { inbound = [], outbound = [], user = "" } = values;
    const { "exclude-source": excludeSource = [], "exclude-destination": excludeDestination = [] } = values;
    const interception = parseInterception({ inbound, outbound, excludeSource, excludeDestination, user });
    expect(interception).not.toHaveProperty("problems");
  }
});

describe("pods are left alone", () => {
  test.each([
    ["by label", { labels: { "sidelane.dev/inject": "false" } }, {}, 0],
    ["by annotation", { annotations: { "sidelane.dev/inject": "false" } }, {}, 1],
    ["on the network of the node", {}, { hostNetwork: true }, 0],
  ])("%s", async (_, metadata, spec, reviews) => {
    const namespace = await shop();
    const before = await webhook.reviews();
    expect(initNames(await create(namespace, podOf("checkout", metadata, spec)))).toEqual([]);
    // What the configuration keeps away is not even asked about.
    expect(await webhook.reviews()).toBe(before + reviews);
  });

  test("in namespaces without the label, in Sidelane's own, and where they have to ask and do not", async () => {
    const plain = await shop({ "sidelane.dev/injection": "disabled" });
    const asking = await shop({ "sidelane.dev/injection": "on-request" });
    await cluster.api.until("/api/v1/namespaces/sidelane/serviceaccounts", "default", () => true);
    for (const namespace of [plain, asking, "sidelane"]) {
      expect(initNames(await create(namespace, podOf("checkout")))).toEqual([]);
    }
    const asks = podOf("asks", { annotations: { "sidelane.dev/inject": "true" } });
    expect(initNames(await create(asking, asks))).toEqual(["sidelane-intercept", "sidelane"]);
    const asksByLabel = podOf("label", { labels: { app: "checkout", "sidelane.dev/inject": "true" } });
    expect(initNames(await create(asking, asksByLabel))).toEqual(["sidelane-intercept", "sidelane"]);
  });

  test("when the webhook is away", async () => {
    const namespace = await shop();
    await webhook.stop();
    expect(initNames(await create(namespace, podOf("without")))).toEqual([]);
    webhook = await Webhook.start(webhook.port);
    expect(initNames(await create(namespace, podOf("with")))).toEqual(["sidelane-intercept", "sidelane"]);
  });
});

describe("nobody keeps the API server from being answered", () => {
  test("by holding connections", async () => {
    const namespace = await shop();
    const sockets = Array.from({ length: 100 }, () => connectPlain(webhook.port, "127.0.0.1"));
    onTestFinished(() => sockets.forEach((socket) => socket.destroy()));
    for (const socket of sockets) socket.on("error", () => {});
    await Promise.all(
      sockets.map((socket) => Promise.race([once(socket, "connect"), once(socket, "close")]).catch(() => {})),
    );
    // By a connection of its own each time; the API server may have had one before.
    for (let round = 0; round < 3; round++) {
      expect(await post(review({ namespace, object: podOf("p") }))).toBe(200);
      expect(initNames(await create(namespace, podOf("p"), "?dryRun=All"))).toContain("sidelane");
    }
  });

  test.each([
    ["no JSON", "{", 400],
    ["JSON that is deep", `${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}`, 400],
    ["a body that is too large", " ".repeat(9 * 1024 * 1024), 413],
    ["another version", JSON.stringify({ apiVersion: "admission.k8s.io/v2", kind: "AdmissionReview" }), 400],
    ["a namespace that is a path", review({ namespace: "../../api/v1/secrets" }), 400],
    ["a namespace that is not there", review({ namespace: "made-up" }), 500],
    ["a pod of another shape", review({ object: { metadata: 1, spec: { containers: { a: 1 } } } }), 500],
    ["fields that nobody knows", review({ object: { spec: {} }, news: { a: [1] } }), 200],
  ])("by %s", async (_, body, status) => {
    const namespace = body.includes("NAMESPACE") ? await shop() : "";
    expect(await post(body.replaceAll("NAMESPACE", namespace))).toBe(status);
    expect((await fetch(`http://${webhook.admin}/ready`)).status).toBe(200);
  });
});

function review(more: object): string {
  const kind = { group: "", version: "v1", kind: "Pod" };
  const request = { uid: "u", kind, operation: "CREATE", namespace: "NAMESPACE", object: { spec: {} }, ...more };
  return JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request });
}

/** Asks as the API server does; the status. */
async function post(body: string): Promise<number | undefined> {
  const asked = request({
    ...{ host: "127.0.0.1", port: webhook.port, path: "/inject?timeout=5s", method: "POST", agent: false },
    ca: authority.certificate,
  });
  asked.on("error", () => {});
  asked.end(body);
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  response.resume();
  return response.statusCode;
}

describe("of pods that are nearly too much", () => {
  test("one with a budget of its own is injected without going beyond it", async () => {
    const namespace = await shop();
    const all = { cpu: "1", memory: "1Gi" };
    const app = { name: "app", image: "shop/checkout", ports: [{ containerPort: 8080 }], resources: { requests: all } };
    const pod = podOf("checkout", {}, { resources: { requests: all, limits: all }, containers: [app] });
    expect(initNames(await create(namespace, pod))).toEqual(["sidelane-intercept", "sidelane"]);
  });

  test("one whose annotations are full is stored without a sidecar, and says so", async () => {
    const namespace = await shop();
    const pod = podOf("checkout", { annotations: { big: "b".repeat(256 * 1024 - 200) } });
    const stored = await create(namespace, pod);
    expect(initNames(stored)).toEqual([]);
    expect(stored.metadata.annotations).toMatchObject({ "sidelane.dev/skipped": "annotations-full" });
  });

  test("one that has a container added while it runs is not asked about again", async () => {
    const namespace = await shop();
    await create(namespace, podOf("checkout"));
    const before = await webhook.reviews();
    const path = `/api/v1/namespaces/${namespace}/pods/checkout/ephemeralcontainers`;
    const ephemeralContainers = [{ name: "debug", image: "busybox", targetContainerName: "app" }];
    await cluster.api.patch(path, "merge", { spec: { ephemeralContainers } });
    expect(await webhook.reviews()).toBe(before);
  });
});

test("what cannot be is refused with a sentence", async () => {
  const namespace = await shop();
  const refused = create(namespace, podOf("checkout", { annotations: { "sidelane.dev/ports": "eighty!" } }));
  await expect(refused).rejects.toThrow(
    'denied the request: Sidelane cannot inject this pod: annotation sidelane.dev/ports: "eighty!" is not a list of ports; write numbers or names, as in 8080,grpc',
  );
});

describe("Pod Security", () => {
  // Slices have only pods that are on a node.
  beforeAll(() => cluster.api.create("/api/v1/nodes", { metadata: { name: "node-1" } }));

  test.each(["baseline", "restricted"])("%s lets in what is injected, and Services follow the names", async (level) => {
    const namespace = await shop({ "pod-security.kubernetes.io/enforce": level });
    await makeService(namespace, "http");
    const pod = await create(namespace, podOf("checkout", {}, { nodeName: "node-1" }));
    expect(initNames(pod)).toEqual(["sidelane"]);
    expect(pod.spec.containers[0]?.ports).toMatchObject([{ name: "http", containerPort: 15_100 }]);
    // No kubelet runs here to say so.
    const status = {
      ...{ phase: "Running", podIP: "10.1.2.3", podIPs: [{ ip: "10.1.2.3" }] },
      conditions: [{ type: "Ready", status: "True" }],
    };
    await cluster.api.patch(`/api/v1/namespaces/${namespace}/pods/checkout/status`, "merge", { status });
    interface Slice {
      readonly metadata: { readonly name: string; readonly uid: string };
      readonly ports?: readonly { readonly port: number }[];
    }
    const slices = await cluster.api.untilAll(
      `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`,
      (all) => all.some((one) => ((one as unknown as Slice).ports ?? []).length > 0),
    );
    expect(slices.flatMap((one) => (one as unknown as Slice).ports ?? []).map(({ port }) => port)).toEqual([15_100]);
  });

  test("a pod that wants redirecting all the same is refused by us, in clearer words than by it", async () => {
    const namespace = await shop({ "pod-security.kubernetes.io/enforce": "baseline" });
    const pod = podOf("checkout", { annotations: { "sidelane.dev/interception": "redirect" } });
    await expect(create(namespace, pod)).rejects.toThrow(
      "refuses the NET_ADMIN that redirecting needs; write named-ports",
    );
  });
});

test("a new certificate is taken while reviews run, and none of them fails", async () => {
  const namespace = await shop();
  await configure({ failurePolicy: "Fail" });
  onTestFinished(() => configure());
  await expect
    .poll(async () => {
      const { webhooks } = await cluster.api.get<{ readonly webhooks: readonly { readonly failurePolicy: string }[] }>(
        `${CONFIGURATIONS}/sidelane`,
      );
      return webhooks.map(({ failurePolicy }) => failurePolicy);
    })
    .toEqual(["Fail", "Fail"]);
  const served = async (): Promise<string> => {
    const socket = connect({ port: webhook.port, host: "127.0.0.1", ca: authority.certificate });
    await once(socket, "secureConnect");
    const { serialNumber } = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  };
  const first = await served();
  await putCertificate();
  let reviews = 0;
  let now = first;
  while (now === first) {
    const pods = await Promise.all(Array.from({ length: 10 }, () => create(namespace, podOf("p"), "?dryRun=All")));
    for (const pod of pods) expect(initNames(pod)).toContain("sidelane");
    reviews += pods.length;
    now = await served();
  }
  expect(reviews).toBeGreaterThan(10);
  expect(initNames(await create(namespace, podOf("after")))).toContain("sidelane");
}, 60_000);
