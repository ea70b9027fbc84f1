import { expect, test } from "vitest";
import { groupResource, sandboxResource, serviceResource } from "../fixture.ts";
import type { Resource } from "../resource.ts";
import { ControlState } from "../state.ts";
import { connectPlan } from "./plan.ts";

const request = {
  sandbox: "web",
  targets: [{ service: "checkout", port: "" }],
  session: "s1",
  by: "ada",
  machine: "desk",
  create: true,
  takeOver: false,
};

function planFor(...resources: Resource[]): ReturnType<typeof connectPlan> {
  const state = new ControlState();
  state.reset({ revision: 1, resources: [serviceResource("checkout"), ...resources] });
  const holder = { replica: "r1", now: "2026-01-02T03:04:05Z", endpoints: ["control:16000"], resourcesMax: 100 };
  return connectPlan(state, request, holder);
}

test("a sandbox is made where there is none", () => {
  expect(planFor()).toMatchObject({ puts: [{ kind: "sandbox", name: "web", spec: { temporary: true } }] });
});

test("but none that no table may hold: a group has its name, under another key", () => {
  const group = groupResource("web", { key: "k1", sandboxes: ["pr-7"] });
  expect(planFor(group, sandboxResource("pr-7"))).toMatchObject({
    refused: "invalid",
    message: expect.stringContaining("web is the name of a group and of a sandbox"),
  });
});
