import jsonPatch from "fast-json-patch";
import { describe, expect, test } from "vitest";
import { isMap } from "../../src/base/is-map.ts";
import type { JsonMap, Labels } from "../../src/kube/object.ts";
import { cases, reviewOf } from "../../src/webhook/pod/cases.ts";
import { reviewPod } from "../../src/webhook/pod/review-pod.ts";
import type { PodReview } from "../../src/webhook/pod/review-pod.ts";
import { withoutInjection } from "../../src/operator/fork/injection.ts";
import { mapAt, mapsAt, textAt, without } from "../../src/operator/fork/json.ts";

// A plain Pod is live only with its sidecar: what the webhook puts into it, the fork's builder takes out again. Every golden pod of
// the webhook, as it stands there and the other way of having a sidecar as well.

const RESTRICTED = { "pod-security.kubernetes.io/enforce": "restricted" };

const variants = Object.entries(cases).flatMap(([name, one]): (readonly [string, PodReview])[] => {
  const review = reviewOf(one);
  const { defaults, namespace } = review;
  return [
    [name, review],
    [`${name}, sidecar as an ordinary container`, { ...review, defaults: { ...defaults, nativeSidecar: "never" } }],
    [`${name}, by named ports`, { ...review, defaults: { ...defaults, interception: "named-ports" } }],
    [`${name}, restricted`, { ...review, namespace: { ...namespace, labels: { ...namespace.labels, ...RESTRICTED } } }],
  ];
});
const injected = variants.flatMap(([name, review]) => {
  const outcome = reviewPod(review);
  if (outcome.kind !== "injected") return [];
  const pod = jsonPatch.applyPatch(structuredClone(review.pod), structuredClone([...outcome.patch]), true).newDocument;
  return [[name, { before: review.pod as JsonMap, after: pod as JsonMap }] as const];
});

test("there are enough of them, of both ways", () => {
  expect(injected.length).toBeGreaterThan(100);
  expect(injected.filter(([, { after }]) => JSON.stringify(after).includes('"containerPort":15100')).length) //
    .toBeGreaterThan(3);
});

describe.each(injected)("%s", (_, { before, after }) => {
  const [metadata, spec] = [mapAt(after, "metadata"), mapAt(after, "spec")];
  const undone = withoutInjection(spec, mapAt(metadata, "annotations") as Labels);

  test("is the pod of before, once the sidecar is taken out", () => {
    expect(comparable(undone.spec)).toEqual(comparable(mapAt(before, "spec")));
    const annotations = mapAt(mapAt(before, "metadata"), "annotations");
    // It was the reason for which there was no sidecar.
    expect(undone.annotations).toEqual(without(annotations, ["sidelane.dev/skipped"]));
  });

  test("and is left alone when there is nothing to take out", () => {
    expect(withoutInjection(undone.spec, undone.annotations)).toEqual(undone);
  });
});

/**
 * Lists that are empty are as good as none. A tcpSocket probe comes back with the number of its port: whether it had the name that the
 * number has is not kept, and the kubelet takes them for the same. Pull secrets stay: whose they were nobody knows.
 */
function comparable(whole: JsonMap): JsonMap {
  const spec = without(whole, ["imagePullSecrets"]);
  const lists = ["containers", "initContainers"].map((field) => [field, mapsAt(spec, field).map(numbered)] as const);
  const pairs = Object.entries({ ...spec, ...Object.fromEntries(lists) });
  return Object.fromEntries(pairs.filter(([, value]) => !(Array.isArray(value) && value.length === 0)));
}

function numbered(container: JsonMap): JsonMap {
  const probes = ["livenessProbe", "readinessProbe", "startupProbe"].flatMap((kind) => {
    const probe = container[kind];
    if (!isMap(probe) || !isMap(probe["tcpSocket"])) return [];
    const named = mapsAt(container, "ports").find((port) => textAt(port, "name") === mapAt(probe, "tcpSocket")["port"]);
    if (named === undefined) return [];
    return [[kind, { ...probe, tcpSocket: { ...probe["tcpSocket"], port: named["containerPort"] } }] as const];
  });
  return { ...container, ...Object.fromEntries(probes) };
}
