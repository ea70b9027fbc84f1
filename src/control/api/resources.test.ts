import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startWorld } from "../../../test/support/api-world.ts";
import type { ApiWorld, Got } from "../../../test/support/api-world.ts";

let world: ApiWorld;

beforeEach(async () => {
  world = await startWorld();
  await world.ask("POST", "/v1/services", { body: { name: "checkout", baseline: ["checkout:8080"] } });
  await world.ask("POST", "/v1/services", { body: { name: "ledger", ports: { http: 8080, grpc: 9090 } } });
});
afterEach(() => world.close());

const own = { services: { checkout: ["10.0.0.7:8080"] } };

function makeSandbox(name: string, more: object = {}): Promise<Got> {
  return world.ask("POST", "/v1/sandboxes", { body: { name, ...own, ...more } });
}

function problems(got: Got): readonly { pointer: string; message: string; hint?: string }[] {
  return got.json["problems"] as { pointer: string; message: string; hint?: string }[];
}

describe("creating", () => {
  test("answers with the resource, its version and where it is", async () => {
    const got = await makeSandbox("pr-7", { labels: { team: "shop" }, owner: "dana", ttl: "4h" });
    expect(got).toMatchObject({
      status: 201,
      headers: { etag: '"3"', location: "/v1/sandboxes/pr-7" },
      json: {
        name: "pr-7",
        ...own,
        labels: { team: "shop" },
        owner: "dana",
        ttl: "4h",
        version: 3,
        createdBy: "anonymous",
      },
    });
    expect((await world.ask("GET", "/v1/sandboxes/pr-7")).json).toEqual(got.json);
    expect(world.state.document().sandboxes).toEqual({ "pr-7": own });
  });

  test("the very same again by the same changes nothing", async () => {
    await makeSandbox("pr-7");
    expect(await makeSandbox("pr-7")).toMatchObject({ status: 200, headers: { etag: '"3"' } });
    expect(world.state.revision).toBe(3);
  });

  test("something else under the name is refused, and says who made what is there", async () => {
    await makeSandbox("pr-7");
    const got = await makeSandbox("pr-7", { owner: "dana" });
    expect(got).toMatchObject({
      status: 409,
      json: { detail: expect.stringMatching(/^sandbox pr-7 exists already: anonymous made it at 2/u) },
    });
  });

  test("a key that somebody has is refused with both names and whom to talk to", async () => {
    await makeSandbox("pr-7", { owner: "dana" });
    const got = await makeSandbox("pr-8", { key: "pr-7" });
    expect(got.status).toBe(422);
    expect(problems(got)).toMatchObject([
      {
        pointer: "/key",
        message: expect.stringMatching(
          /sandbox pr-7 and sandbox pr-8 have one routing key, "pr-7".*pr-7 was made by anonymous at .*, owner dana\)$/u,
        ),
        hint: "write another key",
      },
    ]);
  });

  test("a service that nobody declared is refused with the nearest name, unless that is allowed", async () => {
    const body = { name: "pr-7", services: { chekout: ["10.0.0.7:8080"] } };
    const refused = await world.ask("POST", "/v1/sandboxes", { body });
    expect(refused.status).toBe(422);
    expect(problems(refused)).toEqual([
      { pointer: "/services/chekout", message: 'there is no service "chekout"', hint: "write checkout" },
    ]);
    const allowed = await world.ask("POST", "/v1/sandboxes?allowUnknownServices=1", { body });
    expect(allowed).toMatchObject({
      status: 201,
      json: { warnings: [expect.stringContaining("(write checkout?)")] },
    });
    // What is there already is nobody's mistake any more.
    const changed = await world.ask("PATCH", "/v1/sandboxes/pr-7", { body: { owner: "dana" } });
    expect(changed.status).toBe(200);
  });

  test("a service with several ports wants endpoints for each", async () => {
    const got = await world.ask("POST", "/v1/sandboxes", {
      body: { name: "pr-7", services: { ledger: { http: ["10.0.0.7:1"] } } },
    });
    expect(problems(got)).toMatchObject([{ pointer: "/services/ledger", hint: "add grpc: [host:port]" }]);
  });

  test("an endpoint that nobody answers at is no reason to refuse", async () => {
    expect((await makeSandbox("pr-7", { services: { checkout: ["203.0.113.1:1"] } })).status).toBe(201);
  });

  test("hosts belong to one service, whoever else claims them without saying so", async () => {
    await world.ask("POST", "/v1/sandboxes?allowUnknownServices=1", {
      body: { name: "pr-7", services: { cart: ["10.0.0.7:1"] } },
    });
    const got = await world.ask("POST", "/v1/services", { body: { name: "basket", hosts: ["cart"] } });
    expect(problems(got)).toMatchObject([
      { pointer: "/hosts/0", message: expect.stringContaining("claimed by services basket and cart") },
    ]);
    const other = await world.ask("POST", "/v1/sandboxes?allowUnknownServices=1", {
      body: { name: "pr-8", services: { Cart: ["10.0.0.8:1"] } },
    });
    expect(problems(other)).toMatchObject([
      { pointer: "/services/Cart", message: expect.stringContaining("host cart") },
    ]);
  });

  test.each([
    [{}, "/name", 'field "name" is missing'],
    [{ name: 7 }, "/name", "name is not text"],
    [{ name: "baseline" }, "/name", "reserved"],
    [{ name: "a b" }, "/name", '" " cannot be part of a name'],
    [{ name: "x", servces: {} }, "/servces", "unknown field"],
    [{ name: "x", services: { checkout: "10.0.0.7:8080" } }, "/services/checkout", "is text, not a list"],
    [{ name: "x", services: { checkout: [] } }, "/services/checkout", "must not be empty"],
    [{ name: "x", services: { checkout: ["nowhere"] } }, "/services/checkout/0", "not an endpoint"],
    [{ name: "x", ttl: "soon" }, "/ttl", "a ttl is a number and s, m, h, d or w"],
    [{ name: "x", ttl: "99999w" }, "/ttl", "at most ten years"],
    [{ name: "x", ttlFrom: "trafic" }, "/ttlFrom", "it must be one of creation, traffic"],
    [{ name: "x", labels: { "a b": "c" } }, "/labels/a b", "cannot be the name of a label"],
    [{ name: "x", labels: { a: "b\nc" } }, "/labels/a", "printable"],
    [{ name: "x", key: "a;b" }, "/key", "holds no ';'"],
    [{ name: "x", strict: "yes" }, "/strict", "not true or false"],
  ])("%j is refused at %s", async (body, pointer, message) => {
    const got = await world.ask("POST", "/v1/sandboxes", { body });
    expect(got.status).toBe(422);
    expect(problems(got)[0]).toMatchObject({ pointer, message: expect.stringContaining(message) as string });
    expect(got.json["detail"]).toContain(message);
  });

  test("there is an end to it", async () => {
    const small = await startWorld({ limits: { bodyBytesMax: 1000, connectionsMax: 8, waitsMax: 1, resourcesMax: 1 } });
    expect((await small.ask("POST", "/v1/services", { body: { name: "a" } })).status).toBe(201);
    const got = await small.ask("POST", "/v1/services", { body: { name: "b" } });
    expect(got).toMatchObject({ status: 422, json: { detail: expect.stringContaining("limits.resourcesMax") } });
    await small.close();
  });
});

describe("replacing and changing", () => {
  test("PUT makes what is not there, and replaces all of what is", async () => {
    expect((await world.ask("PUT", "/v1/sandboxes/pr-7", { body: { ...own, owner: "dana" } })).status).toBe(201);
    const got = await world.ask("PUT", "/v1/sandboxes/pr-7", { body: own });
    expect(got).toMatchObject({ status: 200, json: { owner: "", version: 4 } });
    expect((await world.ask("GET", "/v1/audit?name=pr-7")).json["entries"]).toMatchObject([
      { action: "update", detail: "owner: dana -> none" },
      { action: "create" },
    ]);
  });

  test("PUT of the same writes nothing", async () => {
    await world.ask("PUT", "/v1/sandboxes/pr-7", { body: own });
    expect(await world.ask("PUT", "/v1/sandboxes/pr-7", { body: own })).toMatchObject({
      status: 200,
      headers: { etag: '"3"' },
    });
    expect(world.state.revision).toBe(3);
  });

  test("what was read can be sent back changed, and is refused when somebody was faster", async () => {
    await makeSandbox("pr-7");
    const read = (await world.ask("GET", "/v1/sandboxes/pr-7")).json;
    expect((await world.ask("PUT", "/v1/sandboxes/pr-7", { body: { ...read, owner: "dana" } })).status).toBe(200);
    expect((await world.ask("PUT", "/v1/sandboxes/pr-7", { body: { ...read, owner: "eve" } })).status).toBe(412);
  });

  test("If-None-Match: * makes only what is not there", async () => {
    const headers = { "if-none-match": "*" };
    expect((await world.ask("PUT", "/v1/sandboxes/pr-7", { body: own, headers })).status).toBe(201);
    expect((await world.ask("PUT", "/v1/sandboxes/pr-7", { body: own, headers })).status).toBe(412);
  });

  test("PATCH merges (RFC 7396)", async () => {
    await makeSandbox("pr-7", { labels: { a: "1", b: "2" }, ttl: "4h" });
    const got = await world.ask("PATCH", "/v1/sandboxes/pr-7", { body: { labels: { a: null, c: "3" }, ttl: null } });
    expect(got).toMatchObject({ status: 200, json: { labels: { b: "2", c: "3" }, ...own } });
    expect(got.json).not.toHaveProperty("ttl");
    const wrong = await world.ask("PATCH", "/v1/sandboxes/pr-7", { body: { services: { checkout: "x" } } });
    expect(problems(wrong)).toMatchObject([{ pointer: "/services/checkout" }]);
    expect((await world.ask("PATCH", "/v1/sandboxes/pr-8", { body: {} })).json["detail"]).toContain(
      "did you mean pr-7?",
    );
  });

  test("a name cannot be changed", async () => {
    await makeSandbox("pr-7");
    const got = await world.ask("PATCH", "/v1/sandboxes/pr-7", { body: { name: "pr-8" } });
    expect(got).toMatchObject({ status: 422, json: { detail: expect.stringContaining("a name cannot be changed") } });
  });

  test("the ports of a service that sandboxes use cannot change under them", async () => {
    await makeSandbox("pr-7");
    const got = await world.ask("PATCH", "/v1/services/checkout", { body: { ports: { a: 1, b: 2 }, baseline: null } });
    expect(got.status).toBe(422);
    expect(problems(got)).toMatchObject([
      { pointer: "/ports", message: expect.stringContaining("sandbox pr-7 was made by anonymous") },
    ]);
  });

  test("nor under a developer's machine that answers for the time being", async () => {
    await makeSandbox("pr-7", { services: {} });
    const sandbox = world.state.find("sandbox", "pr-7");
    const connection = {
      session: "secret",
      replica: "r",
      by: "dana",
      machine: "laptop",
      since: "2026-11-23T12:00:00.000Z",
    };
    const connected = { checkout: { ...connection, endpoints: ["10.9.9.9:16000"] } };
    await world.backend.writer.write("dana", "connect", () => ({
      puts: [
        {
          kind: "sandbox",
          name: "pr-7",
          spec: { ...sandbox?.spec, labels: {}, owner: "", description: "", services: {}, connected },
        },
      ],
      deletes: [],
      detail: () => "",
    }));
    const got = await world.ask("PATCH", "/v1/services/checkout", { body: { ports: { a: 1, b: 2 }, baseline: null } });
    expect(got.status).toBe(422);
    // A change of something else leaves the connection alone, and nobody is told whose session it is.
    const changed = await world.ask("PUT", "/v1/sandboxes/pr-7", { body: { services: {}, owner: "dana" } });
    expect(changed.json["connected"]).toMatchObject({ checkout: { machine: "laptop" } });
    expect(changed.body).not.toContain("secret");
    expect(world.state.find("sandbox", "pr-7")?.spec.connected).toEqual(connected);
    expect((await world.ask("DELETE", "/v1/services/checkout")).status).toBe(409);
  });
});

describe("deleting", () => {
  test("says what was deleted", async () => {
    await makeSandbox("pr-7");
    const got = await world.ask("DELETE", "/v1/sandboxes/pr-7");
    expect(got).toMatchObject({ status: 200, json: { deleted: { name: "pr-7", version: 3 }, revision: 4 } });
    expect((await world.ask("DELETE", "/v1/sandboxes/pr-7")).status).toBe(404);
  });

  test("what others name stays, and they are named", async () => {
    await makeSandbox("pr-7");
    await world.ask("PUT", "/v1/groups/release", { body: { sandboxes: ["pr-7"] } });
    expect((await world.ask("DELETE", "/v1/services/checkout")).json["detail"]).toBe(
      "service checkout is used by sandbox pr-7; change or delete it first",
    );
    expect(await world.ask("DELETE", "/v1/sandboxes/pr-7")).toMatchObject({
      status: 409,
      json: { detail: "sandbox pr-7 is used by group release; change or delete it first" },
    });
  });
});

describe("groups", () => {
  test("a list names sandboxes that exist", async () => {
    await makeSandbox("pr-7");
    const got = await world.ask("PUT", "/v1/groups/release", { body: { sandboxes: ["pr-7", "pr-77"] } });
    expect(problems(got)).toMatchObject([{ pointer: "/sandboxes/1", hint: "write pr-7" }]);
  });

  test("labels find members as they come and go; there may be none", async () => {
    const made = await world.ask("PUT", "/v1/groups/release", { body: { match: { all: { release: "42" } } } });
    expect(made).toMatchObject({ status: 201, json: { members: [] } });
    await makeSandbox("pr-9", { labels: { release: "42" } });
    await makeSandbox("pr-7", { labels: { release: "42" } });
    expect((await world.ask("GET", "/v1/groups/release")).json["members"]).toEqual(["pr-7", "pr-9"]);
    expect((await world.ask("DELETE", "/v1/sandboxes/pr-9")).status).toBe(200);
    expect((await world.ask("GET", "/v1/groups")).json["groups"]).toMatchObject([{ members: ["pr-7"] }]);
  });

  test.each([
    [{}, "", "a group has sandboxes or a match"],
    [{ sandboxes: ["pr-7"], match: { all: { a: "b" } } }, "/match", "not both"],
    [{ match: {} }, "/match", "a match without labels"],
  ])("%j is refused", async (body, pointer, message) => {
    await makeSandbox("pr-7");
    const got = await world.ask("PUT", "/v1/groups/release", { body });
    expect(problems(got)[0]).toMatchObject({ pointer, message: expect.stringContaining(message) as string });
  });

  test("two sandboxes that change one service are worth a warning", async () => {
    await makeSandbox("pr-7");
    await makeSandbox("pr-8");
    const got = await world.ask("PUT", "/v1/groups/release", { body: { sandboxes: ["pr-7", "pr-8"] } });
    expect(got).toMatchObject({
      status: 201,
      json: { warnings: [expect.stringContaining("both change service checkout")] },
    });
  });
});

describe("lists", () => {
  beforeEach(async () => {
    await makeSandbox("a", { labels: { team: "shop", ci: "yes" }, owner: "dana" });
    await makeSandbox("b", { labels: { team: "shop" }, owner: "eve" });
    await makeSandbox("c", { labels: { team: "pay=2" } });
  });

  const names = async (query: string): Promise<readonly string[]> => {
    const got = await world.ask("GET", `/v1/sandboxes${query}`);
    return (got.json["sandboxes"] as { name: string }[]).map(({ name }) => name);
  };

  test("by label, any value of a label, several labels, owner", async () => {
    expect(await names("")).toEqual(["a", "b", "c"]);
    expect(await names("?label=team=shop")).toEqual(["a", "b"]);
    expect(await names("?label=team%3Dpay%3D2")).toEqual(["c"]);
    expect(await names("?label=team")).toEqual(["a", "b", "c"]);
    expect(await names("?label=team=shop&label=ci")).toEqual(["a"]);
    expect(await names("?owner=eve")).toEqual(["b"]);
    expect(await names("?label=constructor")).toEqual([]);
  });

  test("page by page", async () => {
    const first = await world.ask("GET", "/v1/sandboxes?limit=2");
    expect(first.json).toMatchObject({ next: "b" });
    const second = await world.ask("GET", "/v1/sandboxes?limit=2&after=b");
    expect(second.json["sandboxes"]).toMatchObject([{ name: "c" }]);
    expect(second.json).not.toHaveProperty("next");
  });

  test.each(["?limit=0", "?limit=x", "?limit=99999", "?label==x", "?lable=a"])("%s is refused", async (query) => {
    expect((await world.ask("GET", `/v1/sandboxes${query}`)).status).toBe(400);
  });
});

describe("while the store is down", () => {
  test("reads go on, writes say so", async () => {
    await makeSandbox("pr-7");
    world.store.setDown("the store at memory cannot be reached: connection refused");
    expect((await world.ask("GET", "/v1/sandboxes/pr-7")).status).toBe(200);
    expect((await world.ask("GET", "/v1/table")).status).toBe(200);
    for (const [method, path, body] of [
      ["POST", "/v1/sandboxes", { name: "pr-8", ...own }],
      ["PUT", "/v1/sandboxes/pr-8", own],
      ["PATCH", "/v1/sandboxes/pr-7", { owner: "dana" }],
      ["DELETE", "/v1/sandboxes/pr-7", undefined],
      ["GET", "/v1/audit", undefined],
    ] as const) {
      const got = await world.ask(method, path, body === undefined ? {} : { body });
      expect(got, `${method} ${path}`).toMatchObject({
        status: 503,
        headers: { "retry-after": expect.stringMatching(/^[0-9]+$/u) as string },
        json: { detail: expect.stringContaining("cannot be reached") as string },
      });
    }
    expect(await world.ask("GET", "/ready")).toMatchObject({
      status: 200,
      json: { ready: true, problems: [expect.any(String)] },
    });
    world.store.setDown("");
    expect((await world.ask("DELETE", "/v1/sandboxes/pr-7")).status).toBe(200);
  });
});
