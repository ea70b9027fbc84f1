import { expect, test } from "vitest";
import type { RouteGroupResource, RouteGroupSpec } from "../kube/route-group-resource.ts";
import { groupSpec } from "./reconcile-group.ts";

const group = (spec: RouteGroupSpec): RouteGroupResource => ({
  apiVersion: "sidelane.dev/v1alpha1",
  kind: "RouteGroup",
  metadata: { name: "release", namespace: "shop" },
  spec: { ...spec },
});

test("names are those of the namespace unless they say another, and what is not there is left out and told", () => {
  const wanted = group({ sandboxes: ["pr-7", "pr-8.team", "pr-9"] });
  const { spec, missing } = groupSpec(wanted, (name) => name !== "pr-9.shop");
  expect(spec).toMatchObject({ key: "release", sandboxes: ["pr-7.shop", "pr-8.team"] });
  expect(missing).toEqual(["pr-9.shop"]);
});

test("labels choose within the namespace alone", () => {
  const { spec } = groupSpec(group({ key: "k", match: { any: { stage: ["a", "b"] } } }), () => false);
  expect(spec).toMatchObject({
    key: "k",
    match: { all: { "sidelane.dev/namespace": "shop" }, any: { stage: ["a", "b"] } },
  });
  expect(spec).not.toHaveProperty("sandboxes");
});
