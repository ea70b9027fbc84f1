// Live objects for tests, as an API server hands them out: defaults filled in, the traces of controllers and tools on them.

import type { JsonMap, KubernetesObject } from "../../kube/object.ts";
import type { ForkSpec, SandboxResource, WorkloadKind } from "../../kube/sandbox-resource.ts";
import type { ForkInput } from "./fork.ts";

const NAMESPACE = "shop";

export function sandbox(forks: readonly ForkSpec[], name = "pr-7", key?: string): SandboxResource {
  return {
    apiVersion: "sidelane.dev/v1alpha1",
    kind: "Sandbox",
    metadata: { name, namespace: NAMESPACE, uid: "5a0c9c1e-0000-4000-8000-000000000007" },
    spec: { ...(key === undefined ? {} : { key }), forks },
  };
}

/** A Service with its ports as `name:port:target`, or one of another spec. */
export function service(
  name: string,
  selector: Readonly<Record<string, string>>,
  ports: JsonMap[],
  more: JsonMap = {},
) {
  return live("v1", "Service", name, {
    clusterIP: "10.96.0.10",
    type: "ClusterIP",
    sessionAffinity: "None",
    selector,
    ports,
    ...more,
  });
}

/** An object with everything that a live one has beside its spec. */
export function live(apiVersion: string, kind: string, name: string, spec: JsonMap, metadata: JsonMap = {}) {
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      namespace: NAMESPACE,
      uid: `uid-of-${name}`,
      resourceVersion: "4711",
      generation: 3,
      creationTimestamp: "2026-11-20T08:00:00Z",
      managedFields: [{ manager: "kubectl", operation: "Update" }],
      labels: { app: name, "app.kubernetes.io/managed-by": "Helm" },
      annotations: {
        "kubectl.kubernetes.io/last-applied-configuration": '{"kind":"Deployment"}',
        "deployment.kubernetes.io/revision": "12",
        "meta.helm.sh/release-name": "shop",
      },
      ...metadata,
    },
    spec,
    status: { observedGeneration: 3 },
  } as KubernetesObject;
}

export function container(name: string, more: JsonMap = {}): JsonMap {
  return {
    name,
    image: `registry.example/${name}:1.0.0`,
    imagePullPolicy: "IfNotPresent",
    resources: {},
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
    ...more,
  };
}

export function podSpec(containers: readonly JsonMap[], more: JsonMap = {}): JsonMap {
  return {
    containers,
    restartPolicy: "Always",
    dnsPolicy: "ClusterFirst",
    schedulerName: "default-scheduler",
    securityContext: {},
    terminationGracePeriodSeconds: 30,
    ...more,
  };
}

export function template(labels: JsonMap, spec: JsonMap, annotations?: JsonMap): JsonMap {
  return { metadata: { creationTimestamp: null, labels, ...(annotations === undefined ? {} : { annotations }) }, spec };
}

export function deployment(name: string, pod: JsonMap, more: JsonMap = {}): KubernetesObject {
  return live("apps/v1", "Deployment", name, {
    replicas: 3,
    revisionHistoryLimit: 10,
    progressDeadlineSeconds: 600,
    selector: { matchLabels: { app: name } },
    strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%", maxUnavailable: "25%" } },
    template: pod,
    ...more,
  });
}

export const http: JsonMap = { name: "http", containerPort: 8080, protocol: "TCP" };
export const httpPort: JsonMap = { name: "http", port: 80, protocol: "TCP", targetPort: "http" };

/** The checkout of the shop: one container, one port, one Service. */
export function checkout(more: JsonMap = {}, pod: JsonMap = {}): KubernetesObject {
  const app = container("app", { ports: [http], env: [{ name: "LOG", value: "info" }], ...more });
  return deployment("checkout", template({ app: "checkout", tier: "backend" }, podSpec([app], pod)));
}

export const checkoutService = service("checkout", { app: "checkout" }, [httpPort]);

/** What `buildFork` is given for one workload. */
export function input(
  workload: KubernetesObject,
  change: Partial<ForkSpec> = {},
  more: Partial<ForkInput> & { readonly name?: string; readonly key?: string } = {},
): ForkInput {
  const forkSpec: ForkSpec = {
    workload: { kind: workload.kind as WorkloadKind, name: workload.metadata.name },
    ...change,
  };
  const { name, key, ...rest } = more;
  return {
    sandbox: sandbox([forkSpec], name, key),
    namespace: NAMESPACE,
    workload,
    services: [checkoutService],
    forkSpec,
    ...rest,
  };
}
