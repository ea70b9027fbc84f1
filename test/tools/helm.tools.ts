// The chart: what it renders, what it refuses, and what the real API server makes of it, from the installation to the last object that
// an uninstallation leaves. Needs `npm run setup:kube` and etcd.
//
// Long because one cluster serves the whole life of a release.
import { execFile } from "node:child_process";
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { kubeProgram } from "../../scripts/kube/programs.ts";
import { silentLog } from "../../src/base/log.ts";
import { loadControlConfig } from "../../src/config/load-control-config.ts";
import { loadOperatorConfig } from "../../src/config/operator-config.ts";
import { loadWebhookConfig } from "../../src/config/load-webhook-config.ts";
import { connectKube } from "../../src/kube/client.ts";
import { Certificates } from "../../src/operator/certificates/certificates.ts";
import { cleanUp } from "../../src/operator/cleanup.ts";
import { startCluster } from "../support/kube/cluster.ts";
import type { Cluster } from "../support/kube/cluster.ts";

const root = join(import.meta.dirname, "../..");
const chart = join(root, "deploy/helm/sidelane");
const run = promisify(execFile);

interface Manifest {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly data?: Readonly<Record<string, string>>;
}

interface PodParts {
  readonly labels?: object;
  readonly annotations?: object;
  readonly spec?: object;
}

async function helm(...args: string[]): Promise<string> {
  const { stdout } = await run(kubeProgram("helm"), args, { maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}

const template = (flags: readonly string[], ...more: string[]): Promise<string> =>
  helm("template", "sidelane", chart, "--namespace", "sidelane", "--kube-version", "1.34.0", ...flags, ...more);

function manifestsOf(text: string): readonly Manifest[] {
  const documents = parseAllDocuments(text);
  expect(documents.flatMap(({ errors }) => errors)).toEqual([]);
  return documents.map((document) => document.toJS() as Manifest | null).filter((one) => one !== null);
}

/** Value sets by name; of all but the first the golden file has what is different from it. */
const valueSets: Readonly<Record<string, readonly string[]>> = {
  default: [],
  "cert-manager": ["--set", "certificates.issuer=cert-manager"],
  "cert-manager-issuer": [
    ...["--set", "certificates.issuer=cert-manager", "--set", "certificates.certManager.issuerRef.name=vault"],
    ...["--set", "certificates.certManager.issuerRef.kind=ClusterIssuer"],
  ],
  "fail-closed": [
    ...["--set", "injection.failurePolicy=Fail,injection.timeoutSeconds=2,webhook.replicas=3"],
    ...["--set", "webhook.priorityClassName=system-cluster-critical,webhook.podDisruptionBudget.maxUnavailable=50%"],
    ...["--set-json", 'injection.excludedNamespaces=["kube-system","ingress"]'],
    ...[
      "--set-json",
      'injection.matchConditions=[{"name":"not-batch","expression":"!has(object.spec.activeDeadlineSeconds)"}]',
    ],
  ],
  monitoring: [
    ...["--set", "metrics.annotations=false,metrics.podMonitor.enabled=true,metrics.podMonitor.labels.release=prom"],
    ...["--set", "metrics.rules.enabled=true,metrics.dashboard.enabled=true"],
  ],
  "private-registry": [
    ...["--set", "image.registry=registry.example:5000,image.repository=team/sidelane,image.pullPolicy=Always"],
    ...["--set", `image.digest=sha256:${"ab".repeat(32)}`, "--set-json", 'image.pullSecrets=["registry"]'],
  ],
  "small-and-bare": [
    ...["--set", "control.replicas=1,webhook.replicas=1,operator.replicas=1,definitions.install=false"],
    ...["--set", "uninstall.cleanup=false,control.auth.developerAccount=false"],
    ...["--set", "control.podDisruptionBudget.enabled=false,webhook.podDisruptionBudget.enabled=false"],
    ...["--set", "operator.podDisruptionBudget.enabled=false"],
  ],
  "network-policy": [
    ...["--set", "networkPolicy.enabled=true,control.connectPorts.first=17000,control.connectPorts.last=17009"],
    ...["--set-json", 'networkPolicy.apiServerRanges=["10.0.0.0/28"]'],
  ],
  openshift: ["--set", "pods.userId=null,access.aggregate=false"],
  scheduling: [
    ...[
      "--set",
      "control.nodeSelector.pool=infra",
      "--set-json",
      'control.tolerations=[{"key":"infra","operator":"Exists"}]',
    ],
    ...[
      "--set-json",
      'operator.topologySpreadConstraints=[{"maxSkew":1,"topologyKey":"rack","whenUnsatisfiable":"DoNotSchedule"}]',
    ],
    ...[
      "--set",
      "operator.podLabels.team=platform,operator.podAnnotations.note=x,operator.tolerations[0].operator=Exists",
    ],
  ],
  sidecars: [
    ...[
      "--set",
      "sidecar.image=registry.example/sidelane:edge,sidecar.interception=named-ports,sidecar.logLevel=debug",
    ],
    ...["--set", "sidecar.resources.limits.memory=256Mi,sidecar.resources.requests.cpu=1,sidecar.onUnknownKey=reject"],
    ...[
      "--set-json",
      "sidecar.excludeInboundPorts=[9090]",
      "--set-json",
      'sidecar.excludeOutboundRanges=["10.9.0.0/16"]',
    ],
  ],
  overlaid: [
    ...["--set", "control.config.timeouts.probeMs=5000,webhook.config.limits.connectionsMax=64"],
    ...["--set-json", 'control.auth.roles=[{"name":"system:serviceaccount:ci:*","role":"editor"}]'],
    ...["--set", "network.clusterDomain=corp.example,operator.logLevel=debug"],
  ],
};

test("lint has nothing to say", async () => {
  expect(await helm("lint", "--strict", "--quiet", chart)).toBe("");
});

describe("what is rendered", () => {
  test.for(Object.entries(valueSets))("%s", async ([name, flags]) => {
    const [usual, text] = await Promise.all([template([]), template(flags)]);
    const parts = text.split(/^---$/mu);
    const known = new Set(usual.split(/^---$/mu));
    const golden = name === "default" ? text : parts.filter((part) => !known.has(part)).join("---");
    await expect(golden).toMatchFileSnapshot(`golden/helm/${name}.yaml`);
  });

  test.for(Object.entries(valueSets))("%s: each role takes its config", async ([, flags]) => {
    const manifests = manifestsOf(await template(flags));
    const config = (role: string): string =>
      manifests.find(({ kind, metadata }) => kind === "ConfigMap" && metadata.name === `sidelane-${role}`)?.data?.[
        `${role}.yaml`
      ] ?? "";
    const file = "/etc/sidelane/config/role.yaml";
    for (const loaded of [
      loadControlConfig(config("control"), file, {}),
      loadWebhookConfig(config("webhook"), file, {}),
      loadOperatorConfig(config("operator"), file),
    ]) {
      expect(loaded).toMatchObject({ ok: true });
    }
  });

  test("the plain manifests are those of the chart", async () => {
    const { stderr } = await run(process.execPath, ["scripts/generate-manifests.ts", "--check"], { cwd: root });
    expect(stderr).not.toContain("stale");
  });

  test("every value is documented, and the schema knows it", async () => {
    const values = await readFile(join(chart, "values.yaml"), "utf8");
    const schema = JSON.parse(await readFile(join(chart, "values.schema.json"), "utf8")) as object;
    const missing: string[] = [];
    const walk = (value: unknown, at: unknown, path: string): void => {
      if (typeof value !== "object" || value === null || Array.isArray(value)) return;
      const { properties } = at as { readonly properties?: Readonly<Record<string, object>> };
      for (const [name, inner] of Object.entries(value)) {
        if (properties === undefined) continue;
        if (properties[name] === undefined) missing.push(`${path}${name}`);
        else walk(inner, properties[name], `${path}${name}.`);
      }
    };
    walk(parseAllDocuments(values)[0]?.toJS(), schema, "");
    expect(missing).toEqual([]);
  });
});

describe("values that are refused", () => {
  test.for([
    ["injection.failurePolicy=Sometimes", "/injection/failurePolicy"],
    ["injection.timeoutSeconds=31", "/injection/timeoutSeconds"],
    ["control.replica=3", "replica"],
    ["control.replicas=0", "/control/replicas"],
    ["image.digest=sha256:12", "/image/digest"],
    ["image.registry=registry.example/team", "/image/registry"],
    ["sidecar.interception=magic", "/sidecar/interception"],
    ["sidecar.resources.requests.cpu=lots", "/sidecar/resources/requests/cpu"],
    ["sidecar.excludeInboundPorts[0]=70000", "/sidecar/excludeInboundPorts/0"],
    ["certificates.issuer=letsencrypt", "/certificates/issuer"],
    ["control.auth.roles[0].name=x", "role"],
    ["metrics.podMonitor.interval=often", "/metrics/podMonitor/interval"],
    ["uninstall.cleanupSeconds=0", "/uninstall/cleanupSeconds"],
    ["pods.userId=0", "/pods/userId"],
    ["networkPolicy.apiServerRanges[0]=10.0.0.1", "/networkPolicy/apiServerRanges/0"],
    ["control.connectPorts.first=17000,control.connectPorts.last=16000", "first (17000) is after last (16000)"],
    ["certificates.certManager.issuerRef.name=vault", "set certificates.issuer=cert-manager as well"],
    ["certificates.issuer=cert-manager,certificates.certManager.issuerRef.kind=Issuer", "name"],
  ])("%s", async ([value = "", where]) => {
    await expect(template(["--set", value])).rejects.toThrow(where);
  });
});

describe("the life of a release", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster();
    await cluster.kubectl(["create", "namespace", "sidelane"]);
    await cluster.kubectl(["label", "namespace", "sidelane", "pod-security.kubernetes.io/enforce=restricted"]);
    await cluster.kubectl(["create", "namespace", "shop"]);
    await cluster.kubectl(["label", "namespace", "shop", "sidelane.dev/injection=enabled"]);
    await cluster.kubectl(["create", "namespace", "asks"]);
    await cluster.kubectl(["label", "namespace", "asks", "sidelane.dev/injection=on-request"]);
  }, 180_000);
  afterAll(() => cluster?.stop());

  /** Every object of the cluster but what comes and goes by itself. */
  async function everything(): Promise<readonly string[]> {
    const kinds = await cluster.kubectl(["api-resources", "--verbs=list", "-o", "name"]);
    const passing =
      /^(?:events|leases\.coordination|componentstatuses|apiservices|customresourcedefinitions\.api.*status)/u;
    const listed = kinds.split("\n").filter((kind) => kind !== "" && !passing.test(kind));
    const format = '{range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name}{"\\n"}{end}';
    const all = await cluster.kubectl(["get", listed.join(","), "-A", "-o", `jsonpath=${format}`]);
    const leases = await cluster.kubectl(["get", "leases", "-n", "sidelane", "-o", `jsonpath=${format}`]);
    return [...new Set(`${all}\n${leases}`.split("\n").filter((line) => line !== ""))].toSorted();
  }

  const inCluster = (...args: string[]): Promise<string> => cluster.helm([...args, "--namespace", "sidelane"]);
  const value = (...args: string[]): Promise<string> => cluster.kubectl(["-n", "sidelane", "get", ...args]);

  async function clientOf(account: string) {
    return connectKube({ kubeconfig: await cluster.kubeconfigFor("sidelane", account) });
  }

  /** Plays the kubelet for the hook's Jobs: runs what their containers would, with their rights, and says that they have ended. */
  function playCleanup(): { readonly stop: () => void; readonly played: readonly string[] } {
    const played: string[] = [];
    const play = async (name: string): Promise<void> => {
      const client = await clientOf("sidelane-cleanup");
      const isDone = await cleanUp({ client, namespace: "sidelane", log: silentLog, withinMs: 1000 });
      client.close();
      const at = new Date().toISOString();
      const state = { terminated: { exitCode: isDone ? 0 : 1, startedAt: at, finishedAt: at } };
      const status = {
        phase: isDone ? "Succeeded" : "Failed",
        containerStatuses: [{ name: "cleanup", image: "x", imageID: "x", ready: false, restartCount: 0, state }],
      };
      const patch = JSON.stringify({ status });
      await cluster.kubectl([
        "-n",
        "sidelane",
        "patch",
        "pod",
        name,
        "--subresource=status",
        "--type=merge",
        "-p",
        patch,
      ]);
    };
    const stop = cluster.api.follow("/api/v1/namespaces/sidelane/pods", ({ object: { metadata } }) => {
      if (metadata.labels?.["app.kubernetes.io/component"] !== "cleanup" || played.includes(metadata.name)) return;
      played.push(metadata.name);
      void play(metadata.name);
    });
    return { stop, played };
  }

  const fork = { "sidelane.dev/fork": "pr-7-checkout" };
  const out = { "sidelane.dev/inject": "false" };
  const asking = { "sidelane.dev/inject": "true" };
  const onHost = { hostNetwork: true };
  /** Whether the API server asks the webhook, and refuses the pod when it does not answer: never, with `Fail`, or whatever is set. */
  const reviews: readonly (readonly [what: string, namespace: string, pod: PodParts, "never" | "Fail" | "always"])[] = [
    ["any pod", "shop", {}, "Fail"],
    ["one that is out by label", "shop", { labels: out }, "never"],
    ["one that is out by annotation", "shop", { annotations: out }, "never"],
    ["one in the network of its node", "shop", { spec: onHost }, "never"],
    ["a fork", "shop", { labels: fork }, "always"],
    [
      "a fork that is out, for the webhook to decide",
      "shop",
      { labels: { ...fork, ...out }, annotations: out },
      "always",
    ],
    ["any pod, on request", "asks", {}, "never"],
    ["one that asks by label", "asks", { labels: asking }, "Fail"],
    ["one that asks by annotation", "asks", { annotations: asking }, "Fail"],
    ["one of a sandbox", "asks", { annotations: { "sidelane.dev/sandbox": "pr-7.shop" } }, "Fail"],
    ["one that is stamped", "asks", { annotations: { "sidelane.dev/stamp": "pr-7" } }, "Fail"],
    ["a fork, on request", "asks", { labels: fork }, "always"],
    ["a fork where nothing is injected", "default", { labels: fork }, "never"],
  ];

  test.for(["Fail", "Ignore"])("the webhook is away, with failurePolicy %s: who waits for it", async (policy) => {
    const rendered = await template(["--set", `injection.failurePolicy=${policy}`]);
    const configuration = rendered.split(/^---$/mu).find((part) => part.includes("kind: MutatingWebhookConfiguration"));
    await cluster.kubectl(["apply", "-f", "-"], { input: configuration ?? "" });
    onTestFinished(async () => void (await cluster.kubectl(["delete", "-f", "-"], { input: configuration ?? "" })));
    const make = (namespace: string, { labels = {}, annotations = {}, spec = {} }: PodParts): Promise<string> =>
      cluster.api
        .create(`/api/v1/namespaces/${namespace}/pods?dryRun=All`, {
          apiVersion: "v1",
          kind: "Pod",
          metadata: { generateName: "x-", labels, annotations },
          spec: { containers: [{ name: "app", image: "x" }], ...spec },
        })
        .then(() => "made", String);
    const refused = "failed calling webhook";
    await expect.poll(() => make("shop", { labels: fork }), { timeout: 20_000 }).toContain(refused);
    for (const [what, namespace, pod, when] of reviews) {
      const isRefused = when === "always" || when === policy;
      expect(await make(namespace, pod), what).toContain(isRefused ? refused : "made");
    }
  });

  test("installs, is upgraded with its definitions, and leaves nothing behind", { timeout: 240_000 }, async () => {
    const before = await everything();

    // An older chart, whose definition of TableCommit has a column less.
    const older = await mkdtemp(join(tmpdir(), "sidelane-chart-"));
    onTestFinished(() => rm(older, { recursive: true, force: true }));
    await cp(chart, older, { recursive: true });
    for (const file of await readdir(join(older, "definitions"))) {
      const path = join(older, "definitions", file);
      const text = await readFile(path, "utf8");
      await writeFile(
        path,
        text.replace(/^( +)additionalPrinterColumns:\n(?:\1 .*\n)*(?:\1- .*\n(?:\1 .*\n)*)*/mu, ""),
      );
    }
    await inCluster("install", "sidelane", older);
    const accepted = manifestsOf(await inCluster("get", "manifest", "sidelane"));
    expect(accepted.length).toBeGreaterThan(25);

    // Pod Security's strictest level lets the pods in: the controllers have made them.
    await cluster.api.until(
      "/apis/apps/v1/namespaces/sidelane/deployments",
      "sidelane-control",
      (one) => (one as unknown as { status?: { replicas?: number } }).status?.replicas === 2,
      30_000,
    );
    for (const role of ["control", "webhook", "operator"]) {
      expect(await value("pods", "-l", `app.kubernetes.io/component=${role}`, "-o", "name")).toMatch(
        /^(?:pod.*\n?){2}$/u,
      );
    }

    // What the operator does as soon as it runs, with the rights that the chart gives it.
    const client = await clientOf("sidelane-operator");
    onTestFinished(() => client.close());
    const certificates = new Certificates({ client, namespace: "sidelane", clock: Date.now, log: silentLog });
    await certificates.reconcile();
    const bundle = async (): Promise<string> =>
      value("mutatingwebhookconfiguration", "sidelane", "-o", "jsonpath={.webhooks[*].clientConfig.caBundle}");
    const authority = (): Promise<string> => value("secret", "sidelane-ca", "-o", "jsonpath={.data.tls\\.crt}");
    const [told, made] = [await bundle(), await authority()];
    expect(told.split(" ")).toHaveLength(3);
    expect(await cluster.kubectl(["-n", "shop", "get", "configmap", "sidelane-ca", "-o", "name"])).toContain(
      "sidelane-ca",
    );

    await inCluster("upgrade", "sidelane", chart, "--set", "injection.failurePolicy=Fail,control.replicas=3");
    expect(await value("deployment", "sidelane-control", "-o", "jsonpath={.spec.replicas}")).toBe("3");
    const policy = "jsonpath={.webhooks[*].failurePolicy}";
    expect(await value("mutatingwebhookconfiguration", "sidelane", "-o", policy)).toBe("Fail Fail Fail");
    // What is not the chart's stays.
    expect(await bundle()).toBe(told);
    expect(await authority()).toBe(made);
    const columns = "jsonpath={.items[*].spec.versions[*].additionalPrinterColumns[*].name}";
    expect(await cluster.kubectl(["get", "customresourcedefinitions", "-o", columns])).not.toBe("");
    await inCluster("rollback", "sidelane", "1");
    expect(await bundle()).toBe(told);
    await inCluster("upgrade", "sidelane", chart);
    // And a GitOps tool that renders the chart finds no difference: neither the authority nor the Secrets are in its manifests.
    const same = await template([], "--no-hooks");
    const asTool = ["--server-side", "--force-conflicts", "--field-manager=argocd-controller"];
    expect(await cluster.kubectl(["diff", ...asTool, "-f", "-"], { input: same })).toBe("");

    // Somebody still uses it, the operator does not answer, and a replica wrote to the very end.
    const sandbox = {
      apiVersion: "sidelane.dev/v1alpha1",
      kind: "Sandbox",
      metadata: { name: "pr-7", namespace: "shop", finalizers: ["sidelane.dev/routes"] },
      spec: { endpoints: [{ service: "checkout", addresses: ["10.0.0.7:8080"] }] },
    };
    await cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify(sandbox) });
    const lease = {
      apiVersion: "coordination.k8s.io/v1",
      kind: "Lease",
      metadata: { name: "sidelane-operator", namespace: "sidelane" },
    };
    await cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify(lease) });

    const cleanup = playCleanup();
    onTestFinished(cleanup.stop);
    await inCluster("uninstall", "sidelane", "--timeout", "2m");
    expect(cleanup.played).toHaveLength(2);
    await expect.poll(everything, { timeout: 60_000, interval: 500 }).toEqual(before);
  });

  test(
    "the plain manifests are accepted as they are, and cert-manager's mode without its own kinds",
    { timeout: 120_000 },
    async () => {
      await cluster.kubectl([
        "apply",
        "--server-side",
        "--force-conflicts",
        "-f",
        join(root, "deploy/kubernetes/sidelane.yaml"),
      ]);
      await cluster.kubectl(["delete", "-f", join(root, "deploy/kubernetes/sidelane.yaml"), "--wait=false"]);
      for (const [name, flags] of Object.entries(valueSets)) {
        const foreign = /^kind: (?:Certificate|Issuer|PodMonitor|PrometheusRule)$/mu;
        const text = (await template(flags, "--no-hooks"))
          .split(/^---$/mu)
          .filter((part) => !foreign.test(part))
          .join("---");
        const others = text.replaceAll("namespace: sidelane", "namespace: default");
        const answer = await cluster.kubectl(
          ["apply", "--server-side", "--dry-run=server", "--force-conflicts", "-f", "-"],
          {
            input: others,
          },
        );
        expect(answer, name).toContain("deployment.apps/sidelane-control");
      }
    },
  );
});
