import { describe, expect, test } from "vitest";
import { sandboxResource, serviceResource } from "../fixture.ts";
import type { SidecarInfo } from "../feed/sidecars.ts";
import { World, sidecarInfo } from "./fixture.ts";

const both = { checkout: ["10.0.0.7:8080"], cart: ["10.0.0.7:8081"] };
const checkout = { checkout: ["10.0.0.7:8080"] };

/** Beside checkout with everything, and beside cart, which hears of nothing else. */
function sidecars(appliedRevision: number, wantedRevision: number): readonly SidecarInfo[] {
  const scope = { services: ["cart"], names: false };
  return [sidecarInfo(), sidecarInfo({ service: "cart", scope, appliedRevision, wantedRevision })];
}

function worldOf(services: Readonly<Record<string, readonly string[]>>): World {
  const world = new World();
  world.put(serviceResource("checkout"), serviceResource("cart"));
  world.put(sandboxResource("pr-7", { services }));
  return world;
}

async function reaches(world: World, what: "ready" | "deleted" = "ready"): Promise<boolean> {
  const done = (await world.wait("pr-7", what, 200)).at(-1);
  return done?.kind === "done" && done.reached;
}

describe("a sidecar of a service that was taken out", () => {
  test("has to have the revision that took it out, and none after it", async () => {
    const world = worldOf(both);
    world.put(sandboxResource("pr-7", { services: checkout }));
    world.sidecars(...sidecars(3, 4));
    expect(await reaches(world)).toBe(false);
    expect(world.conditions("pr-7")["Applied"]).toContain("the sidecar of cart on cart-host has not acknowledged");
    world.put(sandboxResource("pr-7", { services: checkout, labels: { a: "b" } }));
    expect(await reaches(world)).toBe(false);
    // Behind by something else.
    world.sidecars(...sidecars(4, 9));
    expect(await reaches(world)).toBe(true);
  });

  test("counts when the sandbox has no service any more, and when it is deleted then", async () => {
    const world = worldOf({ cart: ["10.0.0.7:8081"] });
    world.put(sandboxResource("pr-7", {}));
    world.sidecars(...sidecars(3, 4));
    expect(await reaches(world)).toBe(false);
    world.remove({ kind: "sandbox", name: "pr-7" });
    expect(await reaches(world, "deleted")).toBe(false);
    world.sidecars(...sidecars(5, 5));
    expect(await reaches(world, "deleted")).toBe(true);
  });

  test("counts when the sandbox was deleted and made anew without it", async () => {
    const world = worldOf(both);
    world.remove({ kind: "sandbox", name: "pr-7" });
    world.put(sandboxResource("pr-7", { services: checkout }));
    world.sidecars(...sidecars(3, 4));
    expect(await reaches(world)).toBe(false);
  });

  test("counts where it is not known what was taken out: changes were missed", async () => {
    const world = worldOf(both);
    const now = new Date().toISOString();
    const resources = [serviceResource("checkout"), sandboxResource("pr-7", { services: checkout })];
    const meta = { version: 4, updatedAt: now };
    world.state.reset({ revision: 4, resources: resources.map((one) => ({ ...one, meta: { ...one.meta, ...meta } })) });
    world.sidecars(...sidecars(3, 4));
    expect(await reaches(world)).toBe(false);
    world.sidecars(...sidecars(4, 4));
    expect(await reaches(world)).toBe(true);
  });
});
