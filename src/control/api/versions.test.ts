// Nobody overwrites what they have not seen, and whatever happens at one time happens in some order.

import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startWorld } from "../../../test/support/api-world.ts";
import type { ApiWorld, Got } from "../../../test/support/api-world.ts";

let world: ApiWorld;

beforeEach(async () => {
  world = await startWorld();
  await world.ask("POST", "/v1/services", { body: { name: "checkout" } });
  await world.ask("POST", "/v1/services", { body: { name: "ledger" } });
});
afterEach(() => world.close());

const own = { services: { checkout: ["10.0.0.7:8080"] } };

function makeSandbox(name: string, more: object = {}): Promise<Got> {
  return world.ask("POST", "/v1/sandboxes", { body: { name, ...own, ...more } });
}

describe("versions", () => {
  test("If-Match lets nobody overwrite what they have not seen, and says who was faster", async () => {
    await makeSandbox("pr-7");
    const change = (tag: string): Promise<Got> =>
      world.ask("PATCH", "/v1/sandboxes/pr-7", { body: { owner: tag }, headers: { "if-match": tag } });
    expect((await change('"3"')).status).toBe(200);
    const late = await change('"3"');
    expect(late).toMatchObject({
      status: 412,
      json: { detail: expect.stringMatching(/has version 4, not 3: anonymous changed it at 2/u) },
    });
    expect((await change('"1", "4"')).status).toBe(200);
    expect((await change("*")).status).toBe(200);
    expect((await change('W/"6"')).status).toBe(412);
    expect((await change("6")).status).toBe(400);
    expect((await world.ask("DELETE", "/v1/sandboxes/pr-7", { headers: { "if-match": '"3"' } })).status).toBe(412);
    expect((await world.ask("PUT", "/v1/sandboxes/new", { body: own, headers: { "if-match": "*" } })).status).toBe(412);
  });

  test("of many who change the same version one wins; without a version all do", async () => {
    await makeSandbox("pr-7");
    const attempt = (index: number, headers: Record<string, string>): Promise<Got> =>
      world.ask("PATCH", "/v1/sandboxes/pr-7", { body: { labels: { [`n${index}`]: "1" } }, headers });
    const indices = Array.from({ length: 20 }, (_, index) => index);
    const guarded = await Promise.all(indices.map((index) => attempt(index, { "if-match": '"3"' })));
    expect(guarded.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(guarded.filter(({ status }) => status === 412)).toHaveLength(19);
    await Promise.all(indices.map((index) => attempt(100 + index, {})));
    const labels = world.state.find("sandbox", "pr-7")?.spec.labels ?? {};
    expect(Object.keys(labels).filter((name) => name.length === 4)).toHaveLength(20);
  });

  test("of many who want the same key one gets it", async () => {
    const all = await Promise.all(Array.from({ length: 10 }, (_, index) => makeSandbox(`s-${index}`, { key: "mine" })));
    expect(all.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(all.filter(({ status }) => status === 422)).toHaveLength(9);
  });

  test("of many who put the same new name, one makes it, and the log says so", async () => {
    const all = await Promise.all(
      Array.from({ length: 5 }, (_, index) =>
        world.ask("PUT", "/v1/sandboxes/pr-7", { body: { ...own, owner: `o${index}` } }),
      ),
    );
    expect(all.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(all.filter(({ status }) => status === 200)).toHaveLength(4);
    const entries = (await world.ask("GET", "/v1/audit?name=pr-7")).json["entries"] as { action: string }[];
    expect(entries.map(({ action }) => action)).toEqual(["update", "update", "update", "update", "create"]);
  });
});
