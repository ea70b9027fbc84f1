// `sidelane doctor --kubernetes` against a real API server: a cluster without Sidelane, one where all is well, and one in which each
// part is broken in turn. Installed by the chart; operator, control plane and webhook are processes of this machine. Needs what
// kubernetes.tools.ts needs.
//
// Long because everything that can be broken is broken in one installation.

import { execFile } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { packageVersion } from "../../src/cli/package-version.ts";
import { Findings } from "../../src/doctor/finding.ts";
import { examineCluster } from "../../src/doctor/kubernetes/examine-cluster.ts";
import { makeAuthority } from "../support/certificates.ts";
import { startCluster } from "../support/kube/cluster.ts";
import type { Cluster } from "../support/kube/cluster.ts";
import { expectSoon, Installation } from "../support/kube/installation.ts";
import type { KubeObject } from "../support/kube/kube-api.ts";

const project = join(import.meta.dirname, "../..");
let cluster: Cluster;

interface Found {
  readonly level: string;
  readonly subject: string;
  readonly message: string;
  readonly advice: string;
}

interface Said {
  readonly code: number;
  readonly found: readonly Found[];
}

/** The same without a process of its own, which takes most of the time. */
async function findingsNow(): Promise<readonly Found[]> {
  const findings = new Findings();
  const { kubeconfig } = cluster;
  await examineCluster({ kubeconfig, context: undefined, namespace: "sidelane", version: packageVersion() }, findings);
  return findings.all;
}

/** What the doctor says of the cluster, and its exit code. */
async function doctor(kubeconfig = cluster.kubeconfig): Promise<Said> {
  const { code, stdout, stderr } = await run(["--kubeconfig", kubeconfig, "-o", "json"]);
  if (stdout === "") throw new Error(stderr);
  return { code, found: JSON.parse(stdout) as readonly Found[] };
}

/** Not as a child that this process waits for: the API server asks this one's node meanwhile. */
function run(
  flags: readonly string[],
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  return new Promise((resolve) => {
    const args = ["src/main.ts", "doctor", "--kubernetes", ...flags];
    const child = execFile(process.execPath, args, { cwd: project }, (_, stdout, stderr) => {
      resolve({ code: child.exitCode ?? -1, stdout, stderr });
    });
  });
}

function about(found: readonly Found[], subject: string): readonly string[] {
  return found.filter((one) => one.subject === subject).map(({ level, message }) => `${level}: ${message}`);
}

const apply = (...items: readonly object[]): Promise<string> =>
  cluster.kubectl(["apply", "--server-side", "--force-conflicts", "-f", "-"], {
    input: JSON.stringify({ apiVersion: "v1", kind: "List", items }),
  });

const namespace = (name: string, injection: string): object => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, labels: { "sidelane.dev/injection": injection } },
});

const pod = (name: string, annotations: Readonly<Record<string, string>> = {}, own = "shop"): object => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: own, labels: { app: name }, annotations },
  spec: { containers: [{ name: "app", image: "app", ports: [{ name: "http", containerPort: 8080 }] }] },
});

const service = (name: string, targetPort: number | string): object => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: "shop" },
  spec: { selector: { app: name }, ports: [{ port: 80, targetPort }] },
});

const policy = (name: string, own: string, spec: object): object => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name, namespace: own },
  spec: { podSelector: {}, ...spec },
});

const base64 = (text: string): string => Buffer.from(text).toString("base64");

beforeAll(async () => {
  cluster = await startCluster();
}, 120_000);

afterAll(() => cluster?.stop());

describe("without Sidelane the doctor", () => {
  test("says that and how to install it", async () => {
    const said = await doctor();
    expect(said.code).toBe(1);
    expect(about(said.found, `cluster ${cluster.server}`)).toEqual([
      expect.stringMatching(/^good: Kubernetes v1\.\d+/u),
    ]);
    expect(about(said.found, "definition sandboxes.sidelane.dev")).toEqual(["error: is not installed"]);
    expect(about(said.found, "deployment sidelane/sidelane-operator")).toEqual(["error: is not there"]);
    expect(about(said.found, "webhook configuration sidelane")).toEqual([
      expect.stringContaining("no pod gets a sidecar"),
    ]);
    expect(about(said.found, "rights of sidelane/sidelane-operator")).toEqual([
      expect.stringContaining("it may not get leases"),
    ]);
    const errors = said.found.filter(({ level }) => level === "error");
    expect(errors.map(({ advice }) => advice)).toContainEqual(expect.stringContaining("helm install"));
    expect(errors.filter(({ advice }) => advice === "")).toEqual([]);
  });

  test("says what it may not look at, and goes on", async () => {
    const { code, found } = await doctor(await cluster.kubeconfigFor("default", "nobody"));
    expect(code).toBe(0);
    const denied = found.filter(({ level }) => level === "warning");
    expect(denied.length).toBeGreaterThan(5);
    for (const { message } of denied) expect(message).toContain("could not be looked at");
  });

  test("of a cluster that is not there says so", async () => {
    expect(await run(["--kubeconfig", "/nowhere"])).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringContaining("the kubeconfig /nowhere cannot be used"),
    });
  });
});

describe("with Sidelane the doctor", () => {
  let sidelane: Installation;

  beforeAll(async () => {
    sidelane = await Installation.start(cluster);
    await apply(namespace("shop", "enabled"), namespace("bank", "on-request"));
    await cluster.api.until("/api/v1/namespaces/shop/configmaps", "sidelane-ca", () => true);
    await cluster.api.until("/api/v1/namespaces/bank/configmaps", "sidelane-ca", () => true);
    for (const own of ["shop", "bank"]) {
      await cluster.api.until(`/api/v1/namespaces/${own}/serviceaccounts`, "default", () => true);
    }
    await expectSoon("the webhook has seen the namespaces", async () => {
      const made = await cluster.api.create("/api/v1/namespaces/shop/pods?dryRun=All", pod("probe"));
      return made.metadata.annotations?.["sidelane.dev/injected"] !== undefined;
    });
    await apply(service("good", "http"));
    await apply(pod("good"));
    await cluster.api.until("/api/v1/namespaces/shop/pods", "good", (one) => JSON.stringify(one).includes('"Running"'));
  }, 180_000);

  afterAll(() => sidelane?.stop());

  test("has nothing to say against it", async () => {
    await expectSoon("all is well", async () => {
      const { code, found } = await doctor();
      if (code !== 0) throw new Error(JSON.stringify(found.filter(({ level }) => level !== "good")));
      return true;
    });
    const said = await doctor();
    expect(about(said.found, "control plane sidelane/sidelane-control")).toEqual(["good: answers, and is ready"]);
    expect(about(said.found, "rights of sidelane/sidelane-operator")).toEqual(["good: may do all that it has to"]);
    expect(about(said.found, "namespace shop")).toEqual(["good: 1 pod with a sidecar"]);
    expect(said.found.filter(({ level }) => level === "error")).toEqual([]);
  }, 60_000);

  /** Breaks something, waits for the finding, and mends it. Resolves with what the doctor says is to be done. */
  async function adviceOn(
    subject: string,
    words: RegExp,
    breaking: () => Promise<unknown>,
    mending: () => Promise<unknown>,
  ): Promise<string> {
    await breaking();
    try {
      let last: readonly Found[] = [];
      await expectSoon(`${subject}: ${String(words)}`, async () => {
        last = await findingsNow();
        return about(last, subject).some((text) => words.test(text));
      }).catch((cause: unknown) => {
        throw new Error(`${String(cause)}: ${JSON.stringify(last, undefined, 1)}`, { cause });
      });
      const finding = last.find((one) => one.subject === subject && words.test(`${one.level}: ${one.message}`));
      return finding?.advice ?? "";
    } finally {
      await mending();
    }
  }

  const remove = (own: string, ...what: readonly string[]): Promise<string> =>
    cluster.kubectl(["-n", own, "delete", "--wait=false", "--grace-period=0", "--force", ...what]);

  test.each<[string, string, RegExp, readonly object[], string, readonly string[]]>([
    [
      "a label that means nothing",
      "namespace typo",
      /^warning: its label sidelane.dev\/injection says "true", which means nothing/u,
      [namespace("typo", "true")],
      "",
      ["namespace", "typo"],
    ],
    [
      "Sidelane's own namespace with injection",
      "namespace kube-system",
      /^warning: has injection, but is never injected/u,
      [namespace("kube-system", "enabled")],
      "",
      [],
    ],
    [
      "a target port that no container has",
      "service shop/good",
      /^error: port 80 leads nowhere: no container of its pods has a port named web; they declare http 8080/u,
      [service("good", "web")],
      "shop",
      [],
    ],
    [
      "a target port that nobody declares",
      "service shop/good",
      /^warning: port 80 leads to 9999, which no container of its pods declares/u,
      [service("good", 9999)],
      "shop",
      [],
    ],
    [
      "a policy that keeps sidecars from the control plane",
      "namespace shop",
      /^error: NetworkPolicy strict keeps sidecars, as in good, from the control plane/u,
      [policy("strict", "shop", { policyTypes: ["Egress"], egress: [{ to: [{ podSelector: {} }] }] })],
      "shop",
      ["networkpolicy/strict"],
    ],
    [
      "a policy that keeps the API server from the webhook",
      "network policy sidelane/strict",
      /^warning: lets only some callers reach the webhook, port 15443/u,
      [policy("strict", "sidelane", { ingress: [{ from: [{ namespaceSelector: {} }] }] })],
      "sidelane",
      ["networkpolicy/strict"],
    ],
  ])(
    "finds %s",
    async (_, subject, words, broken, own, removed) => {
      expect(
        await adviceOn(
          subject,
          words,
          () => apply(...broken),
          async () => {
            if (removed.length > 0) await remove(own, ...removed);
            if (own === "shop") await apply(service("good", "http"));
            if (subject === "namespace kube-system") {
              await cluster.kubectl(["label", "namespace", "kube-system", "sidelane.dev/injection-"]);
            }
          },
        ),
      ).not.toBe("");
    },
    60_000,
  );

  test("finds pods without a sidecar, or with an old one, or whose number leads past it", async () => {
    // With containers of our name, so that the webhook leaves them alone.
    const old = pod("old", { "sidelane.dev/injected": "0.0.1" }) as {
      readonly spec: { readonly containers: readonly object[] };
    };
    await apply({ ...old, spec: { containers: [...old.spec.containers, { name: "sidelane", image: "sidelane" }] } });
    await apply(service("old", 8080));
    await cluster.kubectl([
      "label",
      "--overwrite",
      "namespace/shop",
      "namespace/bank",
      "sidelane.dev/injection=disabled",
    ]);
    await expectSoon("the webhook knows", async () => {
      const made = await cluster.api.create("/api/v1/namespaces/shop/pods?dryRun=All", pod("probe"));
      return made.metadata.annotations?.["sidelane.dev/injected"] === undefined;
    });
    await apply(
      pod("bare"),
      pod("out", { "sidelane.dev/inject": "false" }),
      pod("unasked", {}, "bank"),
      pod("asked", { "sidelane.dev/inject": "true" }, "bank"),
    );
    await apply(namespace("shop", "enabled"), namespace("bank", "on-request"));
    const said = await doctor();
    const shop = about(said.found, "namespace shop").join("\n");
    expect(shop).toMatch(/^warning: should have a sidecar and has none: bare$/mu);
    expect(shop).toMatch(/^warning: has a sidecar of another version than [\d.]+: old$/mu);
    expect(about(said.found, "namespace bank").join("\n")).toMatch(
      /^warning: should have a sidecar and has none: asked$/mu,
    );
    expect(about(said.found, "service shop/old")).toEqual([
      expect.stringContaining("error: port 80 leads past the sidecar of pods without redirecting, such as old"),
    ]);
    await remove("shop", "pod/bare", "pod/out", "pod/old", "service/old");
    await remove("bank", "pod/unasked", "pod/asked");
  }, 60_000);

  test("finds Sandboxes where no pod gets a sidecar", async () => {
    await apply(namespace("dark", "disabled"));
    const spec = { endpoints: [{ service: "good", addresses: ["10.0.0.1:80"] }] };
    expect(
      await adviceOn(
        "namespace dark",
        /^error: has Sandboxes \(pr-7\), but its pods get no sidecar/u,
        () =>
          apply({
            apiVersion: "sidelane.dev/v1alpha1",
            kind: "Sandbox",
            metadata: { name: "pr-7", namespace: "dark" },
            spec,
          }),
        () => cluster.kubectl(["-n", "dark", "delete", "sandbox", "pr-7", "--timeout=30s"]),
      ),
    ).not.toBe("");
  }, 60_000);

  test("finds a control plane that does not answer", async () => {
    expect(
      await adviceOn(
        "control plane sidelane/sidelane-control",
        /^error: does not answer as it should/u,
        () => sidelane.role("control").stop(),
        () => sidelane.startRole("control"),
      ),
    ).not.toBe("");
  }, 60_000);

  test("finds rights that are missing", async () => {
    const saved = await cluster.kubectl(["get", "clusterrolebinding", "sidelane-operator", "-o", "json"]);
    expect(
      await adviceOn(
        "rights of sidelane/sidelane-operator",
        /^error: it may not get sandboxes\.sidelane\.dev, list sandboxes\.sidelane\.dev, .* and \d+ more/u,
        () => cluster.kubectl(["delete", "clusterrolebinding", "sidelane-operator"]),
        () => {
          const { metadata, roleRef, subjects } = JSON.parse(saved) as KubeObject & {
            readonly roleRef: object;
            readonly subjects: object;
          };
          const { name, labels } = metadata;
          const kind = { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRoleBinding" };
          return apply({ ...kind, metadata: { name, labels }, roleRef, subjects });
        },
      ),
    ).not.toBe("");
  }, 60_000);

  describe("while no operator mends it", () => {
    beforeAll(() => sidelane.role("operator").stop("SIGTERM"));

    const kind = "mutatingwebhookconfigurations/sidelane";
    const webhooks = (patch: object): Promise<string> =>
      cluster.kubectl(["patch", kind, "--type=json", "-p", JSON.stringify([patch])]);
    const secret = (name: string, data: Readonly<Record<string, string>>): Promise<string> =>
      cluster.kubectl(["-n", "sidelane", "patch", "secret", name, "--type=merge", "-p", JSON.stringify({ data })]);
    const read = async (path: string): Promise<Readonly<Record<string, string>>> =>
      (await cluster.api.get<{ readonly data: Readonly<Record<string, string>> }>(path)).data;

    test("finds that nobody leads", async () => {
      expect(
        await adviceOn(
          "lease sidelane/sidelane-operator",
          /^error: no operator leads/u,
          async () => {},
          async () => {},
        ),
      ).not.toBe("");
    }, 60_000);

    test("finds a bundle that does not trust the webhook", async () => {
      const other = await makeAuthority("somebody else");
      const path = "/webhooks/0/clientConfig/caBundle";
      const before = (
        await cluster.kubectl(["get", kind, "-o", "jsonpath={.webhooks[0].clientConfig.caBundle}"])
      ).trim();
      // Each entry is called by itself.
      expect(
        await adviceOn(
          "secret sidelane/sidelane-webhook-tls",
          /^error: is signed by an authority that the webhook configuration does not trust/u,
          () => webhooks({ op: "replace", path, value: base64(other.certificate) }),
          () => webhooks({ op: "replace", path, value: before }),
        ),
      ).not.toBe("");
    }, 60_000);

    test("finds certificates that have expired, or are for somebody else", async () => {
      const path = "/api/v1/namespaces/sidelane/secrets/sidelane-control-tls";
      const before = await read(path);
      const authority = await makeAuthority("sidelane");
      const broken = async (options: object): Promise<unknown> => {
        const pair = await authority.sign("sidelane-control", { names: ["sidelane-control.sidelane.svc"], ...options });
        return secret("sidelane-control-tls", {
          "tls.crt": base64(pair.certificate),
          "ca.crt": base64(authority.certificate),
        });
      };
      const mend = (): Promise<string> => secret("sidelane-control-tls", before);
      const subject = "secret sidelane/sidelane-control-tls";
      const [notBefore, notAfter] = [new Date("2020-01-01T00:00:00Z"), new Date("2020-06-01T00:00:00Z")];
      expect(
        await adviceOn(subject, /^error: expired on Jun {2}1/u, () => broken({ notBefore, notAfter }), mend),
      ).not.toBe("");
      expect(
        await adviceOn(
          subject,
          /^error: is not for sidelane-control.sidelane.svc/u,
          () => broken({ names: ["other"] }),
          mend,
        ),
      ).not.toBe("");
      expect(
        await adviceOn(
          "namespace shop",
          /^error: its ConfigMap sidelane-ca does not have the authority/u,
          () => broken({}),
          mend,
        ),
      ).not.toBe("");
    }, 90_000);

    test("finds a webhook without pods", async () => {
      const scale = ["-n", "sidelane", "scale", "deployment/sidelane-webhook"];
      expect(
        await adviceOn(
          "service sidelane/sidelane-webhook",
          /^error: has no ready pod: new pods come without a sidecar/u,
          () => cluster.kubectl([...scale, "--replicas=0"]),
          () => cluster.kubectl([...scale, "--replicas=1"]),
        ),
      ).not.toBe("");
    }, 60_000);

    test("finds definitions that are old, or gone", async () => {
      const name = "routegroups.sidelane.dev";
      const file = join(project, "deploy/helm/sidelane/definitions/routegroups.yaml");
      const path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/description";
      const patch = JSON.stringify([{ op: "remove", path }]);
      const mend = (): Promise<string> => cluster.kubectl(["apply", "--server-side", "--force-conflicts", "-f", file]);
      const old = /^error: is older than this program: it does not know description,/u;
      expect(
        await adviceOn(
          `definition ${name}`,
          old,
          () => cluster.kubectl(["patch", "crd", name, "--type=json", "-p", patch]),
          mend,
        ),
      ).not.toBe("");
      expect(
        await adviceOn(
          `definition ${name}`,
          /^error: is not installed/u,
          () => cluster.kubectl(["delete", "crd", name]),
          mend,
        ),
      ).not.toBe("");
    }, 60_000);
  });
});
