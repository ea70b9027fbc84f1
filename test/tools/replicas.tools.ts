// Several replicas of the control plane on one real etcd: what one is asked about the sidecars of another, and what happens once
// though each could do it.
import { describe, expect, test } from "vitest";
import { Control, startApp, startSidecar } from "../support/control-plane.ts";
import { startEtcd } from "../support/etcd.ts";

async function startTwo(): Promise<readonly [Control, Control]> {
  const { endpoints } = await startEtcd();
  const store = `etcd://${endpoints}/sidelane`;
  return [await Control.start(store), await Control.start(store)];
}

interface Audit {
  readonly entries: readonly { readonly action: string; readonly kind: string; readonly name: string }[];
}

describe("two replicas", () => {
  test("a sandbox made at one is waited for at the other, through a sidecar of the first", async () => {
    const [here, there] = await startTwo();
    const app = await startApp((_request, response) => void response.end("pr-7"));
    await here.send("POST", "/v1/services", { name: "checkout" });
    await startSidecar(here, "127.0.0.1:1");
    await here.send("POST", "/v1/sandboxes", { name: "pr-7", services: { checkout: [app] } });
    expect(await there.waited("pr-7", "ready")).toMatchObject({ data: { reached: true } });
    await here.send("DELETE", "/v1/sandboxes/pr-7");
    expect(await there.waited("pr-7", "deleted")).toMatchObject({ data: { reached: true } });
    expect(await there.send("GET", "/v1/sidecars")).toMatchObject({
      sidecars: [{ service: "checkout", connected: true }],
      missing: [],
    });
  });

  test("a replica that is gone is waited for no longer than the store says that it lives", async () => {
    const [here, there] = await startTwo();
    const app = await startApp((_request, response) => void response.end("pr-7"));
    await here.send("POST", "/v1/services", { name: "checkout" });
    await startSidecar(here, "127.0.0.1:1");
    await there.running.close();
    await here.send("POST", "/v1/sandboxes", { name: "pr-7", services: { checkout: [app] } });
    expect(await here.waited("pr-7", "ready", 20_000)).toMatchObject({ data: { reached: true } });
  });

  test("a sandbox that expires is deleted once", async () => {
    const replicas = await startTwo();
    const [here, there] = replicas;
    await here.send("POST", "/v1/services", { name: "checkout" });
    await here.send("POST", "/v1/sandboxes", { name: "pr-7", services: { checkout: ["127.0.0.1:1"] }, ttl: "1s" });
    expect(await there.waited("pr-7", "deleted", 20_000)).toMatchObject({ data: { reached: true } });
    const audit = (await there.send("GET", "/v1/audit?name=pr-7")) as Audit;
    expect(audit.entries.map(({ action }) => action)).toEqual(["expire", "create"]);
  });
});
