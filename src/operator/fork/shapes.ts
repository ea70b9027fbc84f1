// The shapes of workloads that forks are made of in tests: each is a golden file (golden/), and a real API server takes each
// (test/tools/crds.tools.ts). Long because every shape is spelled out.

import type { JsonMap } from "../../kube/object.ts";
import {
  checkout,
  checkoutService,
  container,
  deployment,
  http,
  httpPort,
  input,
  live,
  podSpec,
  service,
  template,
} from "./fixture.ts";
import type { ForkInput } from "./fork.ts";

const labels = { app: "checkout" };
const image = { containers: [{ name: "app", image: "registry.example/app:pr-7" }] };
const claim = (name: string, more: JsonMap = {}): JsonMap => ({
  apiVersion: "v1",
  kind: "PersistentVolumeClaim",
  metadata: { name, creationTimestamp: null, labels: { app: "ledger" } },
  spec: {
    accessModes: ["ReadWriteOnce"],
    resources: { requests: { storage: "1Gi" } },
    volumeMode: "Filesystem",
    ...more,
  },
  status: { phase: "Pending" },
});

function statefulSet(more: JsonMap = {}) {
  const app = container("app", { ports: [http], volumeMounts: [{ name: "data", mountPath: "/data" }] });
  return live("apps/v1", "StatefulSet", "ledger", {
    replicas: 3,
    serviceName: "ledger-pods",
    podManagementPolicy: "Parallel",
    selector: { matchLabels: { app: "ledger" } },
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 2 } },
    template: template({ app: "ledger" }, podSpec([app])),
    volumeClaimTemplates: [claim("data")],
    ...more,
  });
}

function job(more: JsonMap = {}, pod: JsonMap = {}) {
  const uid = "c7c1c6a4-0000-4000-8000-000000000001";
  return live("batch/v1", "Job", "migrate", {
    backoffLimit: 3,
    completionMode: "NonIndexed",
    completions: 1,
    parallelism: 1,
    manualSelector: false,
    podReplacementPolicy: "TerminatingOrFailed",
    suspend: false,
    ttlSecondsAfterFinished: 600,
    selector: { matchLabels: { "batch.kubernetes.io/controller-uid": uid } },
    template: template(
      {
        app: "migrate",
        "controller-uid": uid,
        "batch.kubernetes.io/controller-uid": uid,
        "job-name": "migrate",
        "batch.kubernetes.io/job-name": "migrate",
      },
      podSpec([container("app")], { restartPolicy: "Never", ...pod }),
    ),
    ...more,
  });
}

function cronJob(more: JsonMap = {}) {
  return live("batch/v1", "CronJob", "report", {
    schedule: "*/5 * * * *",
    timeZone: "Europe/Vienna",
    concurrencyPolicy: "Forbid",
    successfulJobsHistoryLimit: 3,
    failedJobsHistoryLimit: 1,
    suspend: false,
    jobTemplate: {
      metadata: { creationTimestamp: null, labels: { app: "report" }, annotations: { team: "pay" } },
      spec: {
        backoffLimit: 2,
        ttlSecondsAfterFinished: 60,
        template: template({ app: "report" }, podSpec([container("app")], { restartPolicy: "OnFailure" })),
      },
    },
    ...more,
  });
}

function pod(more: JsonMap = {}, metadata: JsonMap = {}, app: JsonMap = {}) {
  const token = "kube-api-access-x2x9z";
  const mount = { name: token, mountPath: "/var/run/secrets/kubernetes.io/serviceaccount", readOnly: true };
  const spec = podSpec([container("app", { ports: [http], volumeMounts: [mount], ...app })], {
    nodeName: "node-1",
    priority: 0,
    preemptionPolicy: "PreemptLowerPriority",
    serviceAccountName: "default",
    enableServiceLinks: true,
    volumes: [
      {
        name: token,
        projected: { defaultMode: 420, sources: [{ serviceAccountToken: { expirationSeconds: 3607, path: "token" } }] },
      },
    ],
    ...more,
  });
  return live("v1", "Pod", "legacy", spec, { labels: { app: "checkout" }, ...metadata });
}

const injectedConfig = `service: checkout.shop
listeners:
  - { name: http, direction: inbound, address: "*:15100", target: "127.0.0.1:8080", port: http }
`;

const sidecar = container("sidelane", {
  restartPolicy: "Always",
  volumeMounts: [{ name: "sidelane-config", mountPath: "/etc/sidelane" }],
});

/** By name; the names are those of the golden files. */
export const shapes: Readonly<Record<string, ForkInput>> = {
  "deployment-image": input(checkout(), image),
  "deployment-unchanged": input(checkout()),
  "deployment-replicas": input(checkout(), { ...image, replicas: 3 }),
  "deployment-env": input(
    checkout({
      env: [
        { name: "LOG", value: "info" },
        { name: "MODE", value: "first" },
        { name: "OLD", value: "1" },
        { name: "MODE", value: "last" },
        { name: "POD", valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: "metadata.name" } } },
      ],
    }),
    {
      containers: [
        {
          name: "app",
          env: [
            { name: "LOG", value: "debug" },
            { name: "NEW", valueFrom: { secretKeyRef: { name: "new", key: "token" } } },
          ],
          removeEnv: ["OLD"],
        },
      ],
    },
  ),
  "deployment-command": input(checkout({ command: ["/app"], args: ["--fast"] }), {
    containers: [{ name: "app", command: ["/debug", "/app"], args: [], resources: { limits: { memory: "1Gi" } } }],
  }),
  "deployment-several-containers": input(
    deployment(
      "checkout",
      template(
        labels,
        podSpec([container("app", { ports: [http] }), container("cache", { ports: [{ containerPort: 6379 }] })], {
          initContainers: [container("prepare")],
        }),
      ),
    ),
    {
      containers: [
        { name: "cache", image: "registry.example/cache:2" },
        { name: "prepare", args: ["--again"] },
      ],
    },
  ),
  "deployment-patch": input(checkout({}, { nodeSelector: { disk: "ssd", zone: "a" } }), {
    ...image,
    patch: {
      metadata: { labels: { app: "stolen", stage: "review" }, annotations: { note: "of a patch" } },
      spec: { nodeSelector: { zone: null }, priorityClassName: "low", tolerations: [{ operator: "Exists" }] },
    },
  }),
  "deployment-several-ports": input(
    deployment(
      "checkout",
      template(labels, podSpec([container("app", { ports: [http, { name: "grpc", containerPort: 9090 }] })])),
    ),
    image,
    {
      services: [
        service("checkout", labels, [
          { name: "grpc", port: 9090, protocol: "TCP", targetPort: "grpc", appProtocol: "kubernetes.io/h2c" },
          httpPort,
          { name: "dns", port: 53, protocol: "UDP", targetPort: 53 },
        ]),
      ],
    },
  ),
  "deployment-unnamed-port": input(checkout({ ports: [{ containerPort: 8080 }] }), image, {
    services: [service("checkout", labels, [{ port: 80, protocol: "TCP", targetPort: 8080 }])],
  }),
  "deployment-undeclared-port": input(checkout({ ports: [] }), image, {
    services: [service("checkout", labels, [{ port: 8080, protocol: "TCP" }])],
  }),
  "deployment-several-services": input(checkout(), image, {
    services: [
      service("a-headless", labels, [httpPort], { clusterIP: "None" }),
      checkoutService,
      service("other", { app: "other", tier: "backend" }, [httpPort]),
    ],
  }),
  "deployment-services-named": input(
    checkout(),
    { ...image, services: ["pay", "checkout"] },
    {
      services: [checkoutService, service("pay", { app: "pay" }, [{ name: "http", port: 80, targetPort: 8080 }])],
    },
  ),
  "deployment-service-annotated": input(
    deployment(
      "checkout",
      template(labels, podSpec([container("app", { ports: [http] })]), {
        "sidelane.dev/service": "b-checkout",
        "sidelane.dev/inject": "true",
        "sidelane.dev/cpu-limit": "1",
      }),
    ),
    image,
    { services: [service("a-checkout", labels, [httpPort]), service("b-checkout", labels, [httpPort])] },
  ),
  "deployment-no-service": input(checkout({ ports: [] }), image, { services: [], key: "red button" }),
  "deployment-traces": input(
    deployment(
      "checkout",
      template(
        { ...labels, "pod-template-hash": "abc", "controller-revision-hash": "x", version: "1" },
        podSpec([container("app", { ports: [{ ...http, hostPort: 8080, hostIP: "0.0.0.0" }] })], {
          nodeName: "node-1",
          imagePullSecrets: [{}, { name: "pull" }, { name: "pull" }],
          hostAliases: [
            { ip: "10.0.0.1", hostnames: ["a"] },
            { ip: "10.0.0.1", hostnames: ["b", "a"] },
          ],
        }),
        { "kubectl.kubernetes.io/restartedAt": "2026-11-20T08:00:00Z", "cni.projectcalico.org/podIP": "10.0.0.1/32" },
      ),
      { paused: true },
    ),
    image,
  ),
  "deployment-injected-by-hand": input(
    deployment(
      "checkout",
      template(
        labels,
        podSpec([container("app", { ports: [http] })], {
          initContainers: [container("sidelane-intercept"), sidecar, container("prepare")],
          volumes: [
            { name: "sidelane-config", emptyDir: {} },
            { name: "tmp", emptyDir: {} },
          ],
        }),
        { "sidelane.dev/injected": "0.1.0", "sidelane.dev/proxy-config": injectedConfig },
      ),
    ),
    image,
  ),
  "deployment-spread": input(
    checkout(
      {},
      {
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: {
              nodeSelectorTerms: [{ matchExpressions: [{ key: "disk", operator: "In", values: ["ssd"] }] }],
            },
          },
          podAntiAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: [
              { labelSelector: { matchLabels: labels }, topologyKey: "kubernetes.io/hostname" },
              { labelSelector: { matchLabels: { app: "batch" } }, topologyKey: "kubernetes.io/hostname" },
            ],
            preferredDuringSchedulingIgnoredDuringExecution: [
              { weight: 1, podAffinityTerm: { labelSelector: { matchLabels: labels }, topologyKey: "zone" } },
            ],
          },
        },
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: "zone",
            whenUnsatisfiable: "DoNotSchedule",
            labelSelector: { matchLabels: labels },
          },
        ],
      },
    ),
    image,
  ),
  "deployment-surroundings": input(
    checkout({}, { volumes: [{ name: "data", persistentVolumeClaim: { claimName: "checkout-data" } }] }),
    image,
    {
      others: [
        live("policy/v1", "PodDisruptionBudget", "backend", { selector: { matchLabels: { tier: "backend" } } }),
        live("autoscaling/v2", "HorizontalPodAutoscaler", "checkout", {
          scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "checkout" },
        }),
        live("networking.k8s.io/v1", "NetworkPolicy", "checkout", { podSelector: { matchLabels: labels } }),
        live("networking.k8s.io/v1", "NetworkPolicy", "database", {
          podSelector: { matchLabels: { app: "database" } },
          ingress: [{ from: [{ podSelector: { matchLabels: labels } }] }],
        }),
      ],
    },
  ),
  "deployment-probes": input(
    checkout(
      {
        livenessProbe: { httpGet: { path: "/live", port: "http", scheme: "HTTP" }, periodSeconds: 5 },
        readinessProbe: { grpc: { port: 9090, service: null } },
        startupProbe: { exec: { command: ["true"] } },
        lifecycle: { preStop: { sleep: { seconds: 5 } } },
        securityContext: { runAsNonRoot: true, capabilities: { drop: ["ALL"] } },
        volumeMounts: [{ name: "tmp", mountPath: "/tmp" }],
      },
      { volumes: [{ name: "tmp", emptyDir: {} }] },
    ),
    image,
  ),
  "deployment-native-sidecar-port": input(
    deployment(
      "checkout",
      template(
        labels,
        podSpec([container("app")], {
          initContainers: [container("gateway", { restartPolicy: "Always", ports: [http] })],
        }),
      ),
    ),
    image,
  ),
  "deployment-long-names": input(
    deployment("a".repeat(60), template(labels, podSpec([container("app", { ports: [http] })]))),
    image,
    { name: "feature-with-a-very-long-name-that-somebody-made-up" },
  ),
  "deployment-number-first": input(checkout(), image, { name: "4711" }),
  "statefulset-claims": input(statefulSet(), image, {
    services: [
      service("ledger", { app: "ledger" }, [httpPort]),
      service("ledger-pods", { app: "ledger" }, [httpPort], { clusterIP: "None" }),
    ],
  }),
  "statefulset-copied-source": input(
    statefulSet({
      volumeClaimTemplates: [
        claim("data", { dataSource: { kind: "PersistentVolumeClaim", name: "golden" }, storageClassName: "fast" }),
        claim("log"),
      ],
    }),
    { ...image, patch: { spec: { volumes: [{ name: "log", emptyDir: {} }] } }, replicas: 2 },
    { services: [] },
  ),
  "statefulset-long-name": input(statefulSet(), image, {
    name: "feature-with-a-very-long-name-that-somebody-made",
    services: [],
  }),
  "pod-plain": input(pod(), image),
  "pod-injected": input(
    pod(
      {
        initContainers: [container("sidelane-intercept"), sidecar],
        volumes: [{ name: "sidelane-config", emptyDir: {} }],
      },
      {
        labels: { app: "checkout" },
        annotations: { "sidelane.dev/injected": "0.1.0", "sidelane.dev/proxy-config": injectedConfig },
      },
      {
        ports: [{ name: "http", containerPort: 15100, protocol: "TCP" }],
        readinessProbe: { httpGet: { path: "/reach/tcp/8080", port: 15004, scheme: "HTTP" }, periodSeconds: 3 },
      },
    ),
    image,
  ),
  "pod-once": input(pod({ restartPolicy: "Never" }, { labels: { app: "once" } }), image),
  job: input(job(), image, { services: [] }),
  "job-indexed": input(
    job({ completionMode: "Indexed", completions: 5, parallelism: 2, activeDeadlineSeconds: 60 }),
    image,
    { services: [], key: "blue" },
  ),
  "cronjob-suspended": input(cronJob(), image, { services: [] }),
  "cronjob-kept": input(cronJob({ suspend: true }), { ...image, schedule: "keep" }, { services: [] }),
};
