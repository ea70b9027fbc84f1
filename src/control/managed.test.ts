// What the operator manages is changed in Kubernetes: others are told where, connected machines may use it all the same.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startWorld } from "../../test/support/api-world.ts";
import type { ApiWorld } from "../../test/support/api-world.ts";
import { managedRefusal } from "./managed.ts";
import { groupResource, sandboxResource, serviceResource } from "./fixture.ts";

const operator = { "sidelane-manager": "sidelane-operator" };
const labels = { "app.kubernetes.io/managed-by": "sidelane-operator", "sidelane.dev/namespace": "shop" };
const spec = { services: { checkout: ["10.0.0.7:8080"] }, labels };

let world: ApiWorld;
beforeEach(async () => {
  world = await startWorld();
  await world.ask("PUT", "/v1/services/checkout", { body: { hosts: ["checkout"], baseline: ["checkout:8080"] } });
});
afterEach(() => world.close());

describe("a sandbox of the operator", () => {
  test("is changed and deleted by the operator, and by nobody else", async () => {
    const path = "/v1/sandboxes/pr-7.shop";
    expect(await world.ask("PUT", path, { body: spec, headers: operator })).toMatchObject({ status: 201 });
    const detail =
      "sandbox pr-7.shop is managed by Sandbox shop/pr-7 in Kubernetes; change it there: kubectl -n shop edit sandbox pr-7";
    const refused = { status: 409, json: { detail } };
    expect(await world.ask("PUT", path, { body: { ...spec, ttl: "4h" } })).toMatchObject(refused);
    expect(await world.ask("PUT", path, { body: { services: {} } })).toMatchObject(refused);
    expect(await world.ask("PATCH", path, { body: { labels: null } })).toMatchObject(refused);
    expect(await world.ask("DELETE", path)).toMatchObject(refused);
    const changed = await world.ask("PUT", path, { body: { ...spec, ttl: "4h" }, headers: operator });
    expect(changed).toMatchObject({ status: 200, json: { ttl: "4h" } });
    expect(await world.ask("DELETE", path, { headers: operator })).toMatchObject({ status: 200 });
  });

  test("is not what somebody else can make", async () => {
    const made = await world.ask("PUT", "/v1/sandboxes/mine", { body: spec });
    expect(made).toMatchObject({
      status: 422,
      json: { problems: [{ pointer: "/labels/app.kubernetes.io~1managed-by", hint: "leave it out" }] },
    });
    await world.ask("PUT", "/v1/sandboxes/mine", { body: { services: {} } });
    expect(await world.ask("PATCH", "/v1/sandboxes/mine", { body: { labels } })).toMatchObject({ status: 422 });
    // The operator takes over what has the name of its object.
    expect(await world.ask("PUT", "/v1/sandboxes/mine", { body: spec, headers: operator })).toMatchObject({
      status: 200,
    });
    expect(await world.ask("DELETE", "/v1/sandboxes/mine")).toMatchObject({ status: 409 });
  });
});

test.each([
  [serviceResource("checkout.shop", { labels }), "Service shop/checkout", "kubectl -n shop edit service checkout"],
  [sandboxResource("pr-7.shop", { labels }), "Sandbox shop/pr-7", "kubectl -n shop edit sandbox pr-7"],
  [groupResource("r.1.shop", { labels }), "RouteGroup shop/r.1", "kubectl -n shop edit routegroup r.1"],
  [
    sandboxResource("pr-7.team", { labels: { "app.kubernetes.io/managed-by": "sidelane-operator" } }),
    "Sandbox team/pr-7",
    "kubectl -n team edit sandbox pr-7",
  ],
] as const)("$0.kind $0.name is said to be where it is", (resource, object, command) => {
  const message = managedRefusal(resource, "")?.message;
  expect(message).toContain(`is managed by ${object} in Kubernetes`);
  expect(message).toContain(command);
  expect(managedRefusal(resource, "sidelane-operator")).toBeUndefined();
});

test("what others manage is nobody's business here", () => {
  const helm = { "app.kubernetes.io/managed-by": "Helm" };
  expect(managedRefusal(sandboxResource("a", { labels: helm }), "")).toBeUndefined();
  expect(managedRefusal(undefined, "")).toBeUndefined();
});
