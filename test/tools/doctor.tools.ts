// `sidelane doctor --kubernetes` against a real API server: what it finds in a cluster without Sidelane, in one with it, and in one
// where this and that is broken.

import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeAuthority } from "../support/certificates.ts";
import { startCluster } from "../support/kube/cluster.ts";
import type { Cluster } from "../support/kube/cluster.ts";

const project = join(import.meta.dirname, "../..");
let cluster: Cluster;

interface Found {
  readonly level: string;
  readonly subject: string;
  readonly message: string;
  readonly advice: string;
}

/** What the doctor says of the cluster, and its exit code. */
function doctor(kubeconfig = cluster.kubeconfig): { readonly code: number; readonly found: readonly Found[] } {
  const args = ["src/main.ts", "doctor", "--kubernetes", "--kubeconfig", kubeconfig, "-o", "json"];
  try {
    return { code: 0, found: parse(execFileSync(process.execPath, args, { cwd: project, encoding: "utf8" })) };
  } catch (error) {
    const { status, stdout } = error as { readonly status: number; readonly stdout: string };
    return { code: status, found: parse(stdout) };
  }
}

function parse(text: string): readonly Found[] {
  return JSON.parse(text) as readonly Found[];
}

function about(found: readonly Found[], subject: string): readonly string[] {
  return found.filter((one) => one.subject === subject).map(({ level, message }) => `${level}: ${message}`);
}

const deployment = (name: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: sidelane }
spec:
  replicas: 2
  selector: { matchLabels: { app: ${name} } }
  template:
    metadata: { labels: { app: ${name} } }
    spec: { containers: [{ name: it, image: sidelane }] }
---`;

const pod = (name: string, more: string, namespace = "shop"): string => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: ${namespace}, labels: { app: ${name} }, annotations: { ${more} } }
spec:
  containers:
    - { name: app, image: app, ports: [{ containerPort: 8080 }] }
    ${more.includes("injected") ? "- { name: sidelane, image: sidelane }" : ""}
---`;

beforeAll(async () => {
  cluster = await startCluster();
}, 120_000);

afterAll(() => cluster?.stop());

describe("the doctor", () => {
  test("of a cluster without Sidelane says that and how to install it", () => {
    const { code, found } = doctor();
    expect(code).toBe(1);
    expect(about(found, `cluster ${cluster.server}`)).toEqual([expect.stringMatching(/^good: Kubernetes v1\.\d+/u)]);
    expect(about(found, "definition sandboxes.sidelane.dev")).toEqual(["error: is not installed"]);
    expect(about(found, "deployment sidelane/sidelane-operator")).toEqual(["error: is not there"]);
    expect(about(found, "webhook configuration sidelane")).toEqual([expect.stringContaining("no pod gets a sidecar")]);
    expect(found.filter(({ level }) => level === "error").map(({ advice }) => advice)).toContainEqual(
      expect.stringContaining("helm install"),
    );
  });

  test("finds what is broken in one with it", async () => {
    const authority = await makeAuthority("sidelane");
    const other = await makeAuthority("somebody else");
    const serving = await other.sign("sidelane-webhook", { names: ["sidelane-webhook.sidelane.svc"] });
    const base64 = (text: string): string => Buffer.from(text).toString("base64");
    await cluster.apply(`
apiVersion: v1
kind: Namespace
metadata: { name: sidelane, labels: { sidelane.dev/injection: enabled } }
---
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { sidelane.dev/injection: enabled } }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: sidelane-ca, namespace: shop }
data: { ca.crt: x }
---
apiVersion: v1
kind: Namespace
metadata: { name: bank, labels: { sidelane.dev/injection: on-request } }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: default, namespace: shop }
---
apiVersion: v1
kind: ServiceAccount
metadata: { name: default, namespace: bank }
---${["sidelane-control", "sidelane-webhook", "sidelane-operator"].map(deployment).join("\n")}
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: { name: sidelane }
webhooks:
  - name: enabled.sidelane.dev
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Ignore
    namespaceSelector: { matchLabels: { nobody: here } }
    clientConfig: { caBundle: ${base64(authority.certificate)}, service: { namespace: sidelane, name: sidelane-webhook } }
    rules: [{ operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods] }]
---
apiVersion: v1
kind: Secret
metadata: { name: sidelane-webhook-tls, namespace: sidelane }
type: kubernetes.io/tls
data: { tls.crt: ${base64(serving.certificate)}, tls.key: ${base64(serving.key)} }
---${pod("bare", "")}${pod("out", 'sidelane.dev/inject: "false"')}${pod("old", 'sidelane.dev/injected: "0.0.1"')}${pod(
      "named",
      'sidelane.dev/injected: "0.1.0", sidelane.dev/interception: named-ports',
    )}${pod("unasked", "", "bank")}${pod("asked", 'sidelane.dev/inject: "true"', "bank")}
apiVersion: v1
kind: Service
metadata: { name: named, namespace: shop }
spec: { selector: { app: named }, ports: [{ port: 80, targetPort: 8080 }] }
`);
    const { code, found } = doctor();
    expect(code).toBe(1);
    expect(about(found, "deployment sidelane/sidelane-webhook")).toEqual(["error: none of 2 pods is available"]);
    expect(about(found, "lease sidelane/sidelane-operator")).toEqual([expect.stringContaining("no operator leads")]);
    expect(about(found, "secret sidelane/sidelane-webhook-tls")).toEqual([expect.stringContaining("does not trust")]);
    expect(about(found, "service sidelane/sidelane-webhook")).toEqual([expect.stringContaining("has no ready pod")]);
    expect(about(found, "namespace sidelane")).toEqual([expect.stringContaining("is never injected")]);
    const shop = about(found, "namespace shop").join("\n");
    expect(shop).toContain("should have a sidecar and has none: bare");
    expect(shop).toContain("another version than 0.1.0: old");
    expect(shop).toContain("2 pods with a sidecar");
    expect(shop).not.toMatch(/ConfigMap|out/u);
    expect(about(found, "pod shop/named")).toEqual([
      expect.stringContaining("Service named leads past its sidecar: port 80"),
    ]);
    const bank = about(found, "namespace bank").join("\n");
    expect(bank).toContain("has no ConfigMap sidelane-ca");
    expect(bank).toContain("should have a sidecar and has none: asked");
    expect(new X509Certificate(serving.certificate).issuer).toContain("somebody else");
  });

  test("says what it may not look at, and goes on", async () => {
    const { code, found } = doctor(await cluster.kubeconfigFor("shop", "nobody"));
    expect(code).toBe(0);
    const denied = found.filter(({ level }) => level === "warning");
    expect(denied.length).toBeGreaterThan(5);
    for (const { message } of denied) expect(message).toContain("could not be looked at");
  });

  test("of a cluster that is not there says so", () => {
    expect(() =>
      execFileSync(process.execPath, ["src/main.ts", "doctor", "--kubernetes", "--kubeconfig", "/nowhere"], {
        cwd: project,
        stdio: "pipe",
      }),
    ).toThrow("the kubeconfig /nowhere cannot be used");
  });
});
