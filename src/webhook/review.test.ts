import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readReview, reviewAnswer } from "./review.ts";

const request = {
  uid: "u1",
  kind: { group: "", version: "v1", kind: "Pod" },
  namespace: "shop",
  operation: "CREATE",
  object: { metadata: { name: "checkout" } },
};
const review = (more: object = {}): string =>
  JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", request: { ...request, ...more } });

interface Answered {
  readonly apiVersion: string;
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly patch?: string;
    readonly warnings?: string[];
  };
}

const answered = (...given: Parameters<typeof reviewAnswer>): Answered =>
  JSON.parse(reviewAnswer(...given)) as Answered;

describe("a review", () => {
  test("is about a pod that is created", () => {
    expect(readReview(review())).toEqual({ uid: "u1", namespace: "shop", pod: request.object });
    expect(readReview(review({ dryRun: true }))).toMatchObject({ pod: request.object });
  });

  test.each([
    ["an update", { operation: "UPDATE" }],
    ["a subresource", { subResource: "eviction" }],
    ["another kind", { kind: { group: "apps", version: "v1", kind: "Deployment" } }],
    ["nothing", { object: null }],
  ])("of %s has no pod", (_, more) => {
    expect(readReview(review(more))).toEqual({ uid: "u1", namespace: "shop" });
  });

  test.each([
    ["{", "the body is not JSON; an AdmissionReview is"],
    ["null", "the body is no AdmissionReview of admission.k8s.io/v1; the webhook's admissionReviewVersions is [v1]"],
    [review({ uid: "" }), "the review has no request.uid"],
  ])("%s is none", (body, why) => {
    expect(readReview(body)).toBe(why);
  });

  test("reading anything never throws", () => {
    fc.assert(fc.property(fc.json(), (text) => void readReview(text)));
  });
});

describe("an answer", () => {
  test("carries the patch in base64, and warnings that the API server does not cut", () => {
    const patch = [{ op: "add", path: "/metadata/annotations", value: { ü: "1" } }] as const;
    const { apiVersion, response } = answered("u1", { kind: "injected", patch, warnings: ["w".repeat(1000)] });
    expect(apiVersion).toBe("admission.k8s.io/v1");
    expect(response).toMatchObject({ uid: "u1", allowed: true, patchType: "JSONPatch" });
    expect(JSON.parse(Buffer.from(response.patch ?? "", "base64").toString("utf8"))).toEqual(patch);
    expect(response.warnings?.map(({ length }) => length)).toEqual([400]);
  });

  test("lets through what is skipped and what is no pod, and refuses with a sentence", () => {
    const skipped = answered("u1", { kind: "skipped", reason: "windows", patch: [], warnings: [] }).response;
    expect(skipped).toEqual({ uid: "u1", allowed: true, auditAnnotations: { outcome: "skipped", reason: "windows" } });
    expect(answered("u1", undefined).response).toEqual({ uid: "u1", allowed: true });
    expect(answered("u1", { kind: "denied", message: "no" }).response).toMatchObject({
      allowed: false,
      status: { code: 400, message: "Sidelane cannot inject this pod: no" },
    });
  });
});
