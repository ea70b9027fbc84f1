import jsonPatch from "fast-json-patch";
import { describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { loadConfig } from "../../config/load-config.ts";
import { formatProblem } from "../../config/problem.ts";
import { cases, reviewOf } from "./cases.ts";
import { reviewPod } from "./review-pod.ts";
import type { PodOutcome, PodReview } from "./review-pod.ts";

// What becomes of each pod: `golden/*.txt` has, as YAML, the outcome, the steps of the patch, and the pod that an independent
// implementation of JSON Patch makes of it. Update with `vitest run -u`.

test("there are enough shapes", () => {
  expect(Object.keys(cases).length).toBeGreaterThanOrEqual(45);
});

describe.each(Object.entries(cases))("%s", (name, one) => {
  const review = reviewOf(one);
  const outcome = reviewPod(review);

  test("becomes what its golden says", async () => {
    await expect(goldenOf(review, outcome)).toMatchFileSnapshot(`golden/${name}.txt`);
  });

  if (outcome.kind !== "injected") return;
  const pod = patched(review, outcome);

  test("is left alone when it is reviewed again, whoever has been there in between", () => {
    const again = reviewPod({ ...review, pod });
    expect(again).toEqual({ kind: "skipped", reason: "already-injected", patch: [], warnings: [] });
    const { spec } = pod;
    const more = { ...pod, spec: { ...spec, containers: [{ name: "mesh" }, ...(spec?.containers ?? [])] } };
    expect(reviewPod({ ...review, pod: more })).toMatchObject({ kind: "skipped", reason: "already-injected" });
  });

  test("has a config that a sidecar takes without a warning", () => {
    const text = pod.metadata?.annotations?.["sidelane.dev/proxy-config"] ?? "";
    const loaded = loadConfig(text, "/etc/sidelane/proxy.yaml", {});
    expect(loaded.ok ? loaded.warnings.map(formatProblem) : loaded.problems.map(formatProblem)).toEqual([]);
  });
});

function patched({ pod }: PodReview, { patch }: PodOutcome & { readonly kind: "injected" }): PodReview["pod"] {
  return jsonPatch.applyPatch(structuredClone(pod), structuredClone([...patch]), true).newDocument;
}

function goldenOf(review: PodReview, outcome: PodOutcome): string {
  if (outcome.kind !== "injected") return stringify(outcome, { lineWidth: 0 });
  const { kind, warnings, patch } = outcome;
  const pod = JSON.parse(JSON.stringify(patched(review, outcome))) as {
    metadata: { annotations: Record<string, string> };
  };
  const config = pod.metadata.annotations["sidelane.dev/proxy-config"] ?? "";
  pod.metadata.annotations["sidelane.dev/proxy-config"] = "see config";
  const steps = patch.map(({ op, path }) => `${op} ${path}`);
  return stringify(
    { kind, warnings, patch: steps, config: parse(config) as unknown, pod },
    { lineWidth: 0, aliasDuplicateObjects: false },
  );
}
