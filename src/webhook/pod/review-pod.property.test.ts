import fc from "fast-check";
import jsonPatch from "fast-json-patch";
import { expect, test } from "vitest";
import { loadConfig } from "../../config/load-config.ts";
import { formatProblem } from "../../config/problem.ts";
import { cases, reviewOf, service } from "./cases.ts";
import { podAnnotations } from "./settings.ts";
import type { Container, Pod } from "./pod.ts";
import { reviewPod } from "./review-pod.ts";
import type { PodReview } from "./review-pod.ts";

const portNames = ["http", "grpc", "admin", undefined] as const;
const port = fc.record({
  containerPort: fc.constantFrom(80, 8080, 9090, 15_004, 15_101, 3306),
  name: fc.constantFrom(...portNames),
  protocol: fc.constantFrom("TCP", "UDP", undefined),
});
const probe = fc.oneof(
  fc.record({ tcpSocket: fc.record({ port: fc.constantFrom<number | string>(8080, 9090, 1, "http", "nothing") }) }),
  fc.record({ httpGet: fc.record({ port: fc.constantFrom<number | string>(8080, "http") }) }),
  fc.constant(undefined),
);
const container = fc.record({
  name: fc.constantFrom("app", "side", "logs", "sidelane"),
  ports: fc.option(fc.array(port, { maxLength: 4 }), { nil: undefined }),
  livenessProbe: probe,
  readinessProbe: probe,
  restartPolicy: fc.constantFrom("Always", undefined),
  env: fc.constant([{ name: "A", value: "b" }]),
});
const values = [
  "true",
  "false",
  "8080",
  "http,9090",
  "tcp",
  "8080=tcp",
  "10.0.0.0/8",
  "none",
  "pr-7.shop",
  "1Gi",
  "redirect",
  "named-ports",
  "",
  "ü",
];
const names = Object.keys(podAnnotations).map((name) => `sidelane.dev/${name}`);
const annotation = fc.constantFrom(
  ...names,
  "prometheus.io/port",
  "a/b~c",
  "sidelane.dev/injected",
  "sidelane.dev/skipped",
);
const review = fc
  .record({
    containers: fc.array(container, { maxLength: 3 }),
    initContainers: fc.option(fc.array(container, { maxLength: 2 }), { nil: undefined }),
    volumes: fc.option(fc.constant([{ name: "data", emptyDir: {} }]), { nil: undefined }),
    restartPolicy: fc.constantFrom("Always", "Never", undefined),
    annotations: fc.option(fc.dictionary(annotation, fc.constantFrom(...values), { maxKeys: 4 }), { nil: undefined }),
    level: fc.constantFrom("privileged", "restricted"),
    minorVersion: fc.constantFrom(27, 34),
    targets: fc.array(fc.constantFrom<number | string>(8080, 9090, "http", "grpc", "nothing"), { maxLength: 3 }),
    several: fc.boolean(),
  })
  .map(({ annotations, level, minorVersion, targets, several, ...spec }): PodReview => {
    const ports = targets.map((targetPort, index) => ({ name: `p${index}`, port: 80 + index, targetPort }));
    return reviewOf({
      metadata: { annotations },
      spec,
      services: targets.length === 0 ? [] : [service("checkout", ports), ...(several ? [service("other", ports)] : [])],
      labels: { "pod-security.kubernetes.io/enforce": level },
      cluster: { minorVersion },
    });
  });

test("any pod: the same patch again, that only adds, once, and gives a config that a sidecar takes", () => {
  fc.assert(
    fc.property(review, (asked) => {
      const outcome = reviewPod(asked);
      expect(reviewPod(structuredClone(asked))).toEqual(outcome);
      if (outcome.kind !== "injected") return;
      const patch = structuredClone([...outcome.patch]);
      const pod = jsonPatch.applyPatch(structuredClone(asked.pod), patch, true).newDocument;
      expect(reviewPod({ ...asked, pod })).toMatchObject({ kind: "skipped", reason: "already-injected" });
      expect(withoutOurs(pod)).toEqual(comparable(asked.pod));
      const config = pod.metadata?.annotations?.["sidelane.dev/proxy-config"] ?? "";
      const loaded = loadConfig(config, "/etc/sidelane/proxy.yaml", {});
      expect(loaded.ok ? [] : loaded.problems.map(formatProblem)).toEqual([]);
    }),
    { numRuns: 1000 },
  );
});

test("the same Services in another order change nothing", () => {
  for (const one of Object.values(cases)) {
    const asked = reviewOf(one);
    expect(reviewPod({ ...asked, services: asked.services.toReversed() })).toEqual(reviewPod(asked));
  }
});

test("whatever is sent, it never throws", () => {
  fc.assert(
    fc.property(
      fc.dictionary(annotation, fc.string()),
      fc.dictionary(fc.string(), fc.string()),
      (annotations, labels) => {
        reviewPod(
          reviewOf({
            metadata: { annotations, labels },
            spec: { containers: [{ name: "app", ports: [{ containerPort: 8080 }] }] },
          }),
        );
      },
    ),
  );
});

const OURS =
  /^(?:sidelane\.dev\/(?:injected|skipped|proxy-config)|prometheus\.io\/.*|cluster-autoscaler\..*|kubectl\..*)$/u;

/** A pod without what is injected, and without what is allowed to differ. */
function withoutOurs(pod: Pod): object {
  const { spec } = pod;
  const others = (list: readonly Container[] | undefined) => list?.filter(({ name }) => !name.startsWith("sidelane"));
  const volumes = spec?.volumes?.filter(({ name }) => !name.startsWith("sidelane"));
  const emptied = <T>(before: readonly T[] | undefined): readonly T[] | undefined =>
    before?.length === 0 ? undefined : before;
  return comparable({
    ...pod,
    spec: {
      ...spec,
      containers: others(spec?.containers) ?? [],
      initContainers: emptied(others(spec?.initContainers)),
      volumes: emptied(volumes),
    } as NonNullable<Pod["spec"]>,
  });
}

function comparable(pod: Pod): object {
  const mapped = (list: readonly Container[] | undefined) =>
    (list?.length ?? 0) === 0
      ? undefined
      : list?.map(({ livenessProbe, readinessProbe, ports, ...rest }) => ({
          ...rest,
          ports: ports?.map(({ name, protocol }) => ({ name, protocol })),
          probes: [livenessProbe === undefined, readinessProbe === undefined],
        }));
  const { annotations, ...metadata } = pod.metadata ?? {};
  const kept = Object.entries(annotations ?? {}).filter(([name]) => !OURS.test(name));
  return {
    metadata,
    annotations: Object.fromEntries(kept),
    spec: {
      ...pod.spec,
      containers: mapped(pod.spec?.containers),
      initContainers: mapped(pod.spec?.initContainers),
    },
  };
}
