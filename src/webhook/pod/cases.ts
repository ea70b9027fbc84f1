// Pods of every shape, for the goldens. Long because each says in full what its golden follows from.

import type { SidecarDefaults } from "../../config/webhook-config.ts";
import type { Service } from "./pod.ts";
import type { ClusterFacts, PodReview } from "./review-pod.ts";

/** Objects may have more than a review reads: that has to come through. */
type Json = { readonly [name: string]: unknown };

/** One golden. */
export interface Case {
  readonly metadata?: Json;
  readonly spec: Json;
  readonly services?: readonly Service[];
  /** Of the namespace, besides `sidelane.dev/injection: enabled`. */
  readonly labels?: Readonly<Record<string, string>>;
  readonly namespace?: string;
  readonly defaults?: Partial<SidecarDefaults>;
  readonly cluster?: Partial<ClusterFacts>;
}

const defaults: SidecarDefaults = {
  image: "registry.example/sidelane:0.1.0",
  imagePullSecrets: [],
  logLevel: "info",
  cpuRequest: "10m",
  memoryRequest: "64Mi",
  interception: "auto",
  nativeSidecar: "auto",
  onUnknownKey: "baseline",
  onUnavailable: "fail",
  excludeInboundPorts: [],
  excludeInboundRanges: [],
  excludeOutboundRanges: [],
  scrape: true,
  control: "sidelane-control.sidelane.svc:15021",
  audience: "sidelane",
};

const cluster: ClusterFacts = {
  ownNamespace: "sidelane",
  minorVersion: 34,
  httpPorts: { ports: [80, 8080], disputed: [] },
  version: "0.1.0",
};

/** The review of a case. */
export function reviewOf({ metadata = {}, spec, services = [], ...rest }: Case): PodReview {
  const { namespace = "shop", labels } = rest;
  return {
    pod: { metadata: { ...replicaSetPod, ...metadata }, spec },
    namespace: { name: namespace, labels: { "sidelane.dev/injection": "enabled", ...labels } },
    services,
    defaults: { ...defaults, ...rest.defaults },
    cluster: { ...cluster, ...rest.cluster },
  };
}

const replicaSetPod = {
  generateName: "checkout-7d9f8c6b5d-",
  labels: { app: "checkout", "pod-template-hash": "7d9f8c6b5d" },
  ownerReferences: [
    { apiVersion: "apps/v1", kind: "ReplicaSet", name: "checkout-7d9f8c6b5d", uid: "u", controller: true },
  ],
} as const;

const job = {
  generateName: "nightly-29300100-",
  labels: { "job-name": "nightly-29300100" },
  ownerReferences: [{ apiVersion: "batch/v1", kind: "Job", name: "nightly-29300100", uid: "u", controller: true }],
} as const;

/** A Service of the namespace that selects the pods. */
export function service(name: string, ports: readonly Json[], spec: Json = {}): Service {
  const whole = { type: "ClusterIP", clusterIP: "10.96.0.7", selector: { app: "checkout" }, ports, ...spec };
  return { metadata: { name, namespace: "shop" }, spec: whole } as unknown as Service;
}

const annotated = (annotations: Readonly<Record<string, string>>): Json => ({
  annotations: Object.fromEntries(Object.entries(annotations).map(([name, text]) => [`sidelane.dev/${name}`, text])),
});

const image = "shop/checkout:1.4";
const app = (more: Json = {}): Json => ({ name: "app", image, ports: [{ containerPort: 8080 }], ...more });
const one = { containers: [app()] };
const toNumber = service("checkout", [{ port: 80, targetPort: 8080 }]);
const toName = service("checkout", [{ port: 80, targetPort: "http" }]);
const namedApp = (more: Json = {}): Json => app({ ports: [{ name: "http", containerPort: 8080 }], ...more });
const twoPorts = [
  { name: "http", port: 80, targetPort: 8080 },
  { name: "grpc", port: 9090, targetPort: "grpc", appProtocol: "kubernetes.io/h2c" },
];
const httpGet = { httpGet: { path: "/healthz", port: 8080 }, periodSeconds: 5 };
const restricted = { "pod-security.kubernetes.io/enforce": "restricted" };

/** All goldens by name. */
export const cases: Readonly<Record<string, Case>> = {
  // Which ports, which service.
  "one-port": { spec: one, services: [toNumber] },
  "no-service-declared-port": { spec: one },
  "no-service-two-declared-ports": {
    spec: {
      containers: [
        app({
          ports: [
            { name: "http", containerPort: 8080 },
            { name: "grpc", containerPort: 9090 },
          ],
        }),
      ],
    },
  },
  "service-without-declared-port": { spec: { containers: [{ name: "app", image }] }, services: [toNumber] },
  "service-without-target-port": { spec: one, services: [service("checkout", [{ port: 8080 }])] },
  "named-target-port": { spec: { containers: [namedApp()] }, services: [toName] },
  "named-target-port-missing": {
    spec: one,
    services: [service("checkout", [...twoPorts, { name: "x", port: 1, targetPort: "x" }])],
  },
  "two-ports": {
    spec: { containers: [app({ ports: [{ containerPort: 8080 }, { name: "grpc", containerPort: 9090 }] })] },
    services: [service("checkout", twoPorts)],
  },
  "two-containers": {
    spec: {
      containers: [app(), { name: "metrics", image: "shop/metrics:2", ports: [{ name: "grpc", containerPort: 9090 }] }],
    },
    services: [service("checkout", twoPorts)],
  },
  "two-service-ports-one-target": {
    spec: one,
    services: [
      service("checkout", [
        { name: "http", port: 80, targetPort: 8080 },
        { name: "alt", port: 8080, targetPort: 8080 },
      ]),
    ],
  },
  "udp-is-left-alone": {
    spec: { containers: [app({ ports: [{ containerPort: 8080 }, { containerPort: 53, protocol: "UDP" }] })] },
    services: [
      service("checkout", [
        { name: "http", port: 80, targetPort: 8080 },
        { name: "dns", port: 53, protocol: "UDP" },
      ]),
    ],
  },
  "second-service-of-other-ports": {
    spec: { containers: [app({ ports: [{ containerPort: 8080 }, { containerPort: 9000 }] })] },
    services: [service("checkout-admin", [{ port: 9000 }]), toNumber].toReversed(),
  },
  "headless-beside-cluster-ip": {
    spec: one,
    services: [service("a-checkout-peers", [{ port: 8080 }], { clusterIP: "None" }), toNumber],
  },
  "service-annotation": { metadata: annotated({ service: "cart", ports: "8080" }), spec: one, services: [toNumber] },
  "ports-annotation": {
    metadata: annotated({ ports: "http, 9000", "exclude-inbound-ports": "9000" }),
    spec: { containers: [namedApp()] },
    services: [toName],
  },
  "ports-annotation-beside-service": { metadata: annotated({ ports: "8080,7000" }), spec: one, services: [toNumber] },
  "external-name-and-no-selector": {
    spec: one,
    services: [
      service("other", [{ port: 1 }], { type: "ExternalName" }),
      service("manual", [{ port: 2 }], { selector: {} }),
      service("stranger", [{ port: 3 }], { selector: { app: "cart" } }),
    ],
  },
  protocols: {
    metadata: annotated({ protocol: "9090=http2" }),
    spec: { containers: [app({ ports: [8080, 9090, 6379, 3306].map((containerPort) => ({ containerPort })) })] },
    services: [
      service("checkout", [
        { name: "http", port: 8080 },
        { name: "grpc", port: 9090 },
        { name: "cache", port: 6379, appProtocol: "redis" },
        { name: "mysql-main", port: 3306 },
      ]),
    ],
  },

  // Probes.
  "http-probes": {
    spec: { containers: [app({ livenessProbe: httpGet, readinessProbe: httpGet, startupProbe: httpGet })] },
    services: [toNumber],
  },
  "https-probe": {
    spec: { containers: [app({ readinessProbe: { httpGet: { path: "/", port: 8080, scheme: "HTTPS" } } })] },
    services: [toNumber],
  },
  "grpc-and-exec-probes": {
    spec: {
      containers: [
        app({
          livenessProbe: { grpc: { port: 8080, service: "live" }, failureThreshold: 2 },
          readinessProbe: { exec: { command: ["cat", "/tmp/ready"] } },
        }),
      ],
    },
    services: [toNumber],
  },
  "tcp-probes": {
    spec: {
      containers: [
        namedApp({
          livenessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 3, failureThreshold: 4 },
          readinessProbe: { tcpSocket: { port: "http" } },
          startupProbe: { tcpSocket: { port: 9999 } },
        }),
        { name: "side", image: "shop/side:1", livenessProbe: { tcpSocket: { port: 8080, host: "10.0.0.1" } } },
      ],
    },
    services: [toNumber],
  },
  "lifecycle-hooks": {
    spec: {
      terminationGracePeriodSeconds: 60,
      containers: [
        namedApp({
          lifecycle: {
            postStart: { httpGet: { path: "/warm", port: "http" } },
            preStop: { exec: { command: ["sleep", "5"] } },
          },
        }),
      ],
    },
    services: [toName],
  },

  // Other parts of a pod.
  "init-containers": {
    spec: {
      initContainers: [
        { name: "migrate", image: "shop/migrate:1" },
        { name: "wait", image: "busybox" },
      ],
      containers: [app()],
    },
    services: [toNumber],
  },
  "other-native-sidecar": {
    spec: {
      initContainers: [
        {
          ...{ name: "logs", image: "logs:1", restartPolicy: "Always" },
          ports: [{ name: "http", containerPort: 8081 }],
          startupProbe: { tcpSocket: { port: "http" } },
        },
      ],
      containers: [app()],
    },
    services: [service("checkout", [{ port: 80, targetPort: "http" }])],
  },
  "security-contexts": {
    spec: {
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 1000,
        fsGroup: 2000,
        seccompProfile: { type: "RuntimeDefault" },
      },
      containers: [app({ securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] } } })],
    },
    services: [toNumber],
  },
  "volumes-and-secrets": {
    metadata: { annotations: { "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes": "cache" } },
    spec: {
      volumes: [{ name: "cache", emptyDir: {} }],
      imagePullSecrets: [{ name: "registry" }],
      containers: [app({ volumeMounts: [{ name: "cache", mountPath: "/cache" }] })],
    },
    services: [toNumber],
    defaults: { imagePullSecrets: ["registry", "mirror"], imagePullPolicy: "Always" },
  },
  "prometheus-annotations-stay": {
    metadata: { annotations: { "prometheus.io/scrape": "true", "prometheus.io/port": "9102", "team/owner~a": "x" } },
    spec: one,
    services: [toNumber],
  },
  "resources-by-annotation": {
    metadata: annotated({
      ...{ image: "registry.example/sidelane:next", "log-level": "debug", "cpu-request": "100m", "cpu-limit": "none" },
      ...{ "memory-request": "512Mi", "on-unknown-key": "reject", "on-unavailable": "baseline", "target-host": "::1" },
    }),
    spec: one,
    services: [toNumber],
    defaults: { cpuLimit: "1", memoryLimit: "256Mi" },
  },
  guaranteed: {
    spec: {
      containers: [
        app({ resources: { limits: { cpu: 1, memory: "1Gi" }, requests: { cpu: "1000m", memory: "1024Mi" } } }),
      ],
    },
    services: [toNumber],
  },
  "excluded-ranges": {
    metadata: annotated({
      "exclude-inbound-ranges": "192.168.0.0/16,fd00::/8",
      "exclude-outbound-ranges": "10.0.0.1",
      "outbound-ports": "8080,80",
    }),
    spec: one,
    services: [toNumber],
    defaults: { excludeInboundRanges: ["10.0.0.0/24"], excludeInboundPorts: [9102] },
  },
  "no-metadata-maps": {
    metadata: {
      labels: undefined,
      annotations: undefined,
      ownerReferences: undefined,
      generateName: undefined,
      name: "plain",
    },
    spec: one,
  },

  "budget-of-the-pod": {
    spec: {
      resources: { requests: { cpu: "1", memory: "1Gi" }, limits: { cpu: "1", memory: "1Gi" } },
      containers: [app({ resources: { requests: { cpu: "1", memory: "1Gi" } } })],
    },
    services: [toNumber],
  },
  "names-of-the-node": { spec: { dnsPolicy: "Default", containers: [app()] }, services: [toNumber] },
  "name-that-is-too-long": {
    metadata: { name: `${"a".repeat(62)}-b`, generateName: undefined, ownerReferences: undefined, labels: undefined },
    spec: one,
  },

  // Workloads.
  "stateful-set": {
    metadata: {
      name: "checkout-0",
      generateName: "checkout-",
      labels: { app: "checkout", "statefulset.kubernetes.io/pod-name": "checkout-0" },
      ownerReferences: [{ apiVersion: "apps/v1", kind: "StatefulSet", name: "checkout", uid: "u", controller: true }],
    },
    spec: { hostname: "checkout-0", subdomain: "peers", containers: [namedApp()] },
    services: [service("peers", [{ name: "http", port: 8080, targetPort: "http" }], { clusterIP: "None" })],
  },
  "daemon-set": {
    metadata: {
      generateName: "agent-",
      labels: { app: "agent" },
      ownerReferences: [{ apiVersion: "apps/v1", kind: "DaemonSet", name: "agent", uid: "u", controller: true }],
    },
    spec: {
      tolerations: [{ operator: "Exists" }],
      containers: [app({ ports: [{ containerPort: 8080, hostPort: 8080 }] })],
    },
  },
  "consumer-without-ports": { spec: { containers: [{ name: "app", image }] } },
  "job-without-ports": { metadata: job, spec: { restartPolicy: "Never", containers: [{ name: "app", image }] } },
  "job-stamped": {
    metadata: { ...job, ...annotated({ stamp: "pr-7" }) },
    spec: { restartPolicy: "Never", containers: [{ name: "app", image }] },
  },
  "cron-job-stamped-with-ports": {
    metadata: { ...job, ...annotated({ stamp: "pr-7", "outbound-ports": "8080" }) },
    spec: {
      restartPolicy: "OnFailure",
      initContainers: [{ name: "fetch", image: "f" }],
      containers: [{ name: "app", image }],
    },
  },
  "stamp-without-any-http-port": {
    metadata: { ...job, ...annotated({ stamp: "pr-7" }) },
    spec: { restartPolicy: "Never", containers: [{ name: "app", image }] },
    cluster: { httpPorts: { ports: [], disputed: [] } },
  },
  "job-stamped-where-ports-are-disputed": {
    metadata: { ...job, ...annotated({ stamp: "pr-7" }) },
    spec: { restartPolicy: "Never", containers: [{ name: "app", image }] },
    cluster: { httpPorts: { ports: [8080], disputed: [{ port: 80, by: "shop/db" }] } },
  },
  fork: {
    metadata: {
      labels: { "sidelane.dev/fork": "pr-7-checkout" },
      ...annotated({ sandbox: "pr-7.shop", service: "checkout.shop" }),
    },
    spec: { containers: [namedApp()] },
    services: [
      toName,
      service("pr-7-checkout", [{ port: 80, targetPort: "http" }], {
        selector: { "sidelane.dev/fork": "pr-7-checkout" },
      }),
    ],
  },

  "fork-where-asked-for": {
    metadata: annotated({ sandbox: "pr-7.shop", service: "checkout" }),
    spec: { containers: [namedApp()] },
    labels: { "sidelane.dev/injection": "on-request" },
  },
  "job-stamped-on-host-network": {
    metadata: { ...job, ...annotated({ stamp: "pr-7" }) },
    spec: { hostNetwork: true, restartPolicy: "Never", containers: [{ name: "app", image }] },
  },

  // Before 1.29.
  "old-cluster": {
    spec: { initContainers: [{ name: "migrate", image: "m" }], containers: [app()] },
    services: [toNumber],
    cluster: { minorVersion: 28 },
  },
  "old-cluster-outbound": {
    metadata: annotated({ "outbound-ports": "80" }),
    spec: {
      initContainers: [{ name: "migrate", image: "m" }],
      terminationGracePeriodSeconds: 60,
      containers: [app({ livenessProbe: { tcpSocket: { port: 8080 } } })],
    },
    services: [toNumber],
    cluster: { minorVersion: 28 },
  },
  "old-cluster-job": {
    metadata: { ...job, ...annotated({ stamp: "pr-7" }) },
    spec: { restartPolicy: "Never", containers: [{ name: "app", image }] },
    cluster: { minorVersion: 28 },
  },
  "old-cluster-native-by-annotation": {
    metadata: annotated({ "native-sidecar": "true" }),
    spec: one,
    cluster: { minorVersion: 28 },
  },
  "ordinary-container-by-annotation": {
    metadata: annotated({ "native-sidecar": "false" }),
    spec: one,
    services: [toNumber],
  },

  // Without privileges.
  "restricted-named": {
    spec: {
      containers: [
        namedApp({ readinessProbe: { tcpSocket: { port: "http" } }, livenessProbe: { tcpSocket: { port: 8080 } } }),
      ],
    },
    services: [toName],
    labels: restricted,
  },
  "restricted-number": { spec: { containers: [namedApp()] }, services: [toNumber], labels: restricted },
  "restricted-unnamed": { spec: one, labels: restricted },
  "restricted-redirect-by-annotation": {
    metadata: annotated({ interception: "redirect" }),
    spec: one,
    services: [toNumber],
    labels: restricted,
  },
  "restricted-outbound": {
    metadata: annotated({ "outbound-ports": "80" }),
    spec: one,
    services: [toNumber],
    labels: restricted,
  },
  "named-ports-by-annotation": {
    metadata: annotated({ interception: "named-ports" }),
    spec: {
      containers: [
        namedApp({
          ports: [
            { name: "http", containerPort: 8080, hostPort: 80 },
            { name: "grpc", containerPort: 9090 },
          ],
        }),
      ],
    },
    services: [
      service("checkout", [
        { name: "http", port: 80, targetPort: "http" },
        { name: "grpc", port: 9090, targetPort: "grpc" },
      ]),
    ],
  },
  "restricted-probes-and-hooks": {
    spec: {
      containers: [
        namedApp({
          startupProbe: { tcpSocket: { port: "http" }, failureThreshold: 30 },
          readinessProbe: { httpGet: { path: "/healthz", port: "http" } },
          livenessProbe: { grpc: { port: 8080, service: "live" } },
          lifecycle: { preStop: { httpGet: { path: "/drain", port: "http" } } },
        }),
      ],
    },
    services: [toName],
    labels: restricted,
  },
  "named-ports-by-default-and-stamp": {
    metadata: annotated({ stamp: "pr-7" }),
    spec: one,
    defaults: { interception: "named-ports" },
  },

  // Left alone.
  "host-network": { spec: { hostNetwork: true, containers: [app()] } },
  "own-namespace": { spec: one, namespace: "sidelane" },
  "kube-system": { spec: one, namespace: "kube-system" },
  "already-injected": {
    spec: { initContainers: [{ name: "sidelane", image: "x" }], containers: [app(), { name: "mesh", image: "m" }] },
  },
  "mirror-pod": { metadata: { annotations: { "kubernetes.io/config.mirror": "h" } }, spec: one },
  "stamped-and-opted-out": {
    metadata: { annotations: { "sidelane.dev/stamp": "pr-7", "sidelane.dev/inject": "false" } },
    spec: { restartPolicy: "Never", containers: [app()] },
  },
  "opted-out-by-label": {
    metadata: { labels: { "sidelane.dev/inject": "false" }, ...annotated({ inject: "true" }) },
    spec: one,
  },
  "asked-again-with-ports": {
    metadata: { annotations: { "sidelane.dev/skipped": "no-ports" } },
    spec: one,
  },
  "asked-again-without-ports": {
    metadata: { annotations: { "sidelane.dev/skipped": "no-ports" } },
    spec: { containers: [{ name: "app", image }] },
  },
  "copied-without-annotations": {
    spec: {
      volumes: [{ name: "sidelane-config", downwardAPI: { items: [] } }],
      initContainers: [
        { name: "sidelane-intercept", image: "x" },
        { name: "sidelane", image: "x" },
      ],
      containers: [app()],
    },
  },
  "annotations-full": {
    metadata: { annotations: { big: "b".repeat(256 * 1024 - 100) } },
    spec: one,
    services: [toNumber],
  },
  "annotations-full-to-the-brim": {
    metadata: { annotations: { big: "b".repeat(256 * 1024 - 3) } },
    spec: one,
  },
  "service-sends-to-a-port-of-the-sidecar": {
    spec: { containers: [{ name: "app", image }] },
    services: [service("checkout", [{ port: 80, targetPort: 15_100 }])],
  },
  "windows-by-options": {
    spec: { securityContext: { windowsOptions: { runAsUserName: "ContainerUser" } }, containers: [app()] },
  },
  windows: { spec: { nodeSelector: { "kubernetes.io/os": "windows" }, containers: [app()] } },
  "windows-by-os": { metadata: annotated({ inject: "true" }), spec: { os: { name: "windows" }, containers: [app()] } },
  "namespace-disabled": { spec: one, labels: { "sidelane.dev/injection": "disabled" } },
  "asked-in-disabled-namespace": {
    metadata: annotated({ inject: "true" }),
    spec: one,
    labels: { "sidelane.dev/injection": "" },
  },
  "on-request-not-asked": { spec: one, labels: { "sidelane.dev/injection": "on-request" } },
  "on-request-asked": {
    metadata: annotated({ inject: "true" }),
    spec: one,
    services: [toNumber],
    labels: { "sidelane.dev/injection": "on-request" },
  },
  "port-taken": { spec: { containers: [app({ ports: [{ containerPort: 8080 }, { containerPort: 15_004 }] })] } },
  "user-taken": { spec: { securityContext: { runAsUser: 15_065 }, containers: [app()] } },
  "volume-taken": { spec: { volumes: [{ name: "sidelane-data", emptyDir: {} }], containers: [app()] } },

  // Refused.
  "unreadable-inject": { metadata: annotated({ inject: "yes" }), spec: one },
  "unreadable-annotations": {
    metadata: annotated({
      ...{
        ports: "eighty!",
        protocol: "8080=http3",
        interception: "ebpf",
        "cpu-request": "lots",
        "memory-limit": "-1",
      },
      ...{
        "exclude-inbound-ranges": "10.0.0.1/8",
        "native-sidecar": "1",
        service: "Check Out",
        stamp: "a;b",
        "log-level": "loud",
      },
      ...{ "outbound-ports": "http", "target-host": "localhost", image: "a b", sandbox: "baseline" },
    }),
    spec: one,
  },
  "sandbox-without-service": { metadata: annotated({ sandbox: "pr-7.shop" }), spec: one },
  "request-above-limit": { metadata: annotated({ "cpu-request": "2", "cpu-limit": "500m" }), spec: one },
  "unknown-annotation": { metadata: annotated({ port: "8080", "injected-by": "me" }), spec: one, services: [toNumber] },
};
