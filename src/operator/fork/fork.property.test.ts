import * as fc from "fast-check";
import { expect, test } from "vitest";
import { isMap } from "../../base/is-map.ts";
import type { JsonMap, KubernetesObject, Labels } from "../../kube/object.ts";
import { labelSelectorSelects, serviceSelects } from "../../kube/selectors.ts";
import { container, http, input, live, podSpec, service, template } from "./fixture.ts";
import { buildFork } from "./fork.ts";
import { labelsAt, mapAt } from "./json.ts";

const key = fc.constantFrom(
  "app",
  "tier",
  "version",
  "app.kubernetes.io/name",
  "sidelane.dev/inject",
  "pod-template-hash",
);
const value = fc.constantFrom("a", "b", "");
const labels = fc.dictionary(key, value);
const port = fc.record({
  name: fc.constantFrom("http", "grpc"),
  port: fc.constantFrom(80, 9090),
  targetPort: fc.constantFrom<(string | number)[]>("http", 8080, 9000),
  protocol: fc.constantFrom("TCP", "UDP"),
});
const services = fc
  .array(fc.tuple(labels, fc.array(port, { maxLength: 2 })), { maxLength: 5 })
  .map((list) => list.map(([selector, ports], index) => service(`s${index}`, selector, ports)));
const kinds = fc.constantFrom("Deployment", "StatefulSet", "Pod", "Job", "CronJob");
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom(null, 1, "x", true),
    fc.array(tie("value"), { maxLength: 2 }),
    tie("map"),
  ),
  map: fc.dictionary(fc.constantFrom("name", "x", "y"), tie("value"), { maxKeys: 3 }),
}));
const extra = json.map as fc.Arbitrary<JsonMap>;
const patch = fc.record(
  { metadata: fc.record({ labels: fc.dictionary(key, fc.option(value)) }), spec: fc.record({ nodeSelector: extra }) },
  { requiredKeys: [] },
);

const world = fc
  .record({
    kind: kinds,
    labels,
    services,
    selector: labels,
    extra,
    patch,
    name: fc.constantFrom("pr-7", "7", "x".repeat(63)),
  })
  .map(({ kind, labels: own, services: list, selector, extra: more, patch: change, name }) => {
    const pod = template(own, podSpec([container("app", { ports: [http, http], more })], { more }));
    const specs: Readonly<Record<string, JsonMap>> = {
      Pod: mapAt(pod, "spec"),
      CronJob: { schedule: "* * * * *", jobTemplate: { spec: { template: pod } } },
    };
    const spec = specs[kind] ?? { selector: { matchLabels: selector }, template: pod };
    const workload = live("v1", kind, "web", spec, kind === "Pod" ? { labels: own } : {});
    const others = list.map(({ metadata }, index) =>
      live("apps/v1", index % 2 === 0 ? "Deployment" : "PodDisruptionBudget", `other-${metadata.name}`, {
        selector: { matchLabels: index === 0 ? selector : mapAt(list[index]?.spec, "selector") },
      }),
    );
    return input(workload, { patch: change }, { services: list, others, name });
  });

function podLabels(object: KubernetesObject): Labels {
  const outer = object.kind === "CronJob" ? mapAt(mapAt(object.spec, "jobTemplate"), "spec") : object.spec;
  return labelsAt(mapAt(mapAt(outer, "template"), "metadata"), "labels");
}

test("no Service of the namespace, and no other workload or budget, selects the pods of a fork", () => {
  fc.assert(
    fc.property(world, (given) => {
      const [object] = buildFork(given).objects;
      if (object === undefined) return;
      const pods = podLabels(object);
      for (const { spec } of given.services) expect(serviceSelects(spec?.["selector"], pods)).toBe(false);
      for (const { spec } of given.others ?? []) {
        // A selector without any label takes everything, and nothing can be done about that.
        const selector = spec?.["selector"];
        const isEmpty = Object.keys(mapAt(mapAt(spec, "selector"), "matchLabels")).length === 0;
        expect(isEmpty || !labelSelectorSelects(selector, pods)).toBe(true);
      }
      expect(pods["sidelane.dev/sandbox"]).toBe(given.sandbox.metadata.name);
      for (const text of Object.values(pods)) expect(text.length).toBeLessThanOrEqual(63);
    }),
    { numRuns: 500 },
  );
});

test("the own Services select the pods, and the workload's selector does", () => {
  fc.assert(
    fc.property(world, (given) => {
      const [object, ...own] = buildFork(given).objects;
      if (object === undefined) return;
      for (const { spec } of own) expect(serviceSelects(spec?.["selector"], podLabels(object))).toBe(true);
      const selector = object.spec?.["selector"];
      if (selector !== undefined) expect(labelSelectorSelects(selector, podLabels(object))).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test("what comes out can be applied: no null, no undefined, no key twice, names that fit, nothing of the live object's own", () => {
  fc.assert(
    fc.property(world, (given) => {
      const { objects, name } = buildFork(given);
      for (const object of objects) {
        expect(object.metadata.name).toMatch(/^[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$/);
        expect(Object.keys(object.metadata).toSorted()).toStrictEqual([
          "annotations",
          "labels",
          "name",
          "namespace",
          "ownerReferences",
        ]);
        expect(object).not.toHaveProperty("status");
        check(object);
        expect(JSON.parse(JSON.stringify(object))).toStrictEqual(object);
      }
      expect(name.length).toBeLessThanOrEqual(63);
    }),
    { numRuns: 300 },
  );
});

test("the same comes out of the same, whatever the order of fields and Services", () => {
  fc.assert(
    fc.property(world, (given) => {
      const first = buildFork(given);
      expect(buildFork(given)).toStrictEqual(first);
      const turned = {
        ...given,
        workload: reversed(given.workload) as KubernetesObject,
        services: given.services.toReversed(),
      };
      expect(JSON.stringify(buildFork(turned).objects)).toBe(JSON.stringify(first.objects));
    }),
    { numRuns: 200 },
  );
});

test("a baseline that was injected leads to the fork of one that was not", () => {
  fc.assert(
    fc.property(labels, fc.boolean(), (own, isNative) => {
      const sidecar = container("sidelane", isNative ? { restartPolicy: "Always" } : {});
      const plain = podSpec([container("app", { ports: [http] })], { initContainers: [container("prepare")] });
      const injected = {
        ...plain,
        containers: [container("app", { ports: [http] }), ...(isNative ? [] : [sidecar])],
        initContainers: [container("sidelane-intercept"), ...(isNative ? [sidecar] : []), container("prepare")],
        volumes: ["config", "token", "ca", "data"].map((name) => ({ name: `sidelane-${name}`, emptyDir: {} })),
      };
      const of = (spec: JsonMap, annotations: JsonMap): unknown =>
        buildFork(input(live("v1", "Pod", "web", spec, { labels: own, annotations }))).objects;
      expect(of(injected, { "sidelane.dev/injected": "1", "sidelane.dev/proxy-config": "{" })).toStrictEqual(
        of(plain, {}),
      );
    }),
    { numRuns: 50 },
  );
});

function check(found: unknown): void {
  expect(found).not.toBeNull();
  expect(found).not.toBeUndefined();
  if (Array.isArray(found)) {
    const maps = found.filter(isMap);
    const ports = maps.map(({ containerPort, protocol }) =>
      containerPort === undefined ? "" : `${String(containerPort)}/${String(protocol)}`,
    );
    const listed = ports.filter((text) => text !== "");
    expect(new Set(listed).size).toBe(listed.length);
    found.forEach(check);
  } else if (isMap(found)) Object.values(found).forEach(check);
}

function reversed(found: unknown): unknown {
  if (Array.isArray(found)) return found.map(reversed);
  if (!isMap(found)) return found;
  return Object.fromEntries(
    Object.entries(found)
      .toReversed()
      .map(([name, field]) => [name, reversed(field)]),
  );
}
