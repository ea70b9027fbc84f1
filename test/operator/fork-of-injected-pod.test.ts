// Operator and webhook never see each other, but a plain Pod that is forked is live with what the webhook has done to it: the fork
// has to be what it would be of the pod as somebody wrote it.

import jsonPatch from "fast-json-patch";
import { describe, expect, test } from "vitest";
import { isMap } from "../../src/base/is-map.ts";
import type { JsonMap, KubernetesObject } from "../../src/kube/object.ts";
import { buildFork } from "../../src/operator/fork/fork.ts";
import type { BuiltFork } from "../../src/operator/fork/fork.ts";
import { cases, reviewOf } from "../../src/webhook/pod/cases.ts";
import { reviewPod } from "../../src/webhook/pod/review-pod.ts";

const injected = Object.entries(cases).flatMap(([name, one]) => {
  const review = reviewOf(one);
  const outcome = reviewPod(review);
  if (outcome.kind !== "injected") return [];
  const pod = jsonPatch.applyPatch(structuredClone(review.pod), structuredClone([...outcome.patch]), true).newDocument;
  return [{ name, before: review.pod, after: pod, services: review.services }];
});

test("there are pods of every shape", () => {
  expect(injected.length).toBeGreaterThan(25);
});

describe.each(injected)("$name", ({ before, after, services }) => {
  test("is forked as if it had never been injected", () => {
    const all: KubernetesObject[] = services.map((service) => ({ apiVersion: "v1", kind: "Service", ...service }));
    const of = (pod: object): BuiltFork => forkOf(pod as JsonMap, all);
    expect(comparable(of(after).objects)).toStrictEqual(comparable(of(before).objects));
    expect(of(after).problems).toStrictEqual(of(before).problems);
    expect(JSON.stringify(of(after).objects)).not.toMatch(
      /"name":"sidelane(?:-intercept)?"|\/reach\/tcp\/|151[0-9]{2}/,
    );
  });
});

function forkOf({ metadata, spec }: JsonMap, services: readonly KubernetesObject[]): BuiltFork {
  const { labels, annotations } = metadata as { labels?: object; annotations?: object };
  const forkSpec = { workload: { kind: "Pod", name: "web" } } as const;
  return buildFork({
    sandbox: {
      apiVersion: "sidelane.dev/v1alpha1",
      kind: "Sandbox",
      metadata: { name: "pr-7", namespace: "shop" },
      spec: { forks: [forkSpec] },
    },
    namespace: "shop",
    workload: {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "web", labels, annotations },
      spec,
    } as KubernetesObject,
    services,
    forkSpec,
  });
}

/**
 * Two things may differ, and mean the same: pull secrets, which the fork's own sidecar needs as well; and TCP probes, which come
 * back with the number of a port in place of its name. A Job's name follows from its content.
 */
function comparable(objects: readonly KubernetesObject[]): unknown {
  return objects.map((object) => {
    const named = object.kind === "Job" ? { ...object, metadata: { ...object.metadata, name: "" } } : object;
    return mapped(named, []);
  });
}

function mapped(value: unknown, ports: readonly unknown[]): unknown {
  if (Array.isArray(value)) return value.map((item) => mapped(item, ports));
  if (!isMap(value)) return value;
  const own = Array.isArray(value["ports"]) ? value["ports"] : ports;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => name !== "imagePullSecrets")
      .map(([name, field]) => [name, name === "tcpSocket" ? byNumber(field, own) : mapped(field, own)]),
  );
}

function byNumber(socket: unknown, ports: readonly unknown[]): unknown {
  if (!isMap(socket)) return socket;
  const found = ports.filter(isMap).find(({ name }) => name === socket["port"]);
  // An empty host is none.
  const { host, ...rest } = socket;
  return { ...rest, ...(host === "" ? {} : { host }), port: found?.["containerPort"] ?? socket["port"] };
}
