import { Validator } from "@seriousme/openapi-schema-validator";
import { describe, expect, test } from "vitest";
import { document } from "../../../test/support/api-document.ts";
import { startWorld } from "../../../test/support/api-world.ts";

describe("the OpenAPI document", () => {
  test("is one, as a validator of others sees it", async () => {
    const result = await new Validator().validate(structuredClone(document) as unknown as Record<string, unknown>);
    expect(result).toMatchObject({ valid: true });
  });

  test("has every operation once, with parameters for every step of its path", () => {
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.values(methods).map((operation) => ({ path, ...operation }) as unknown as Operation),
    );
    const ids = operations.map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { path, parameters } of operations) {
      const steps = [...path.matchAll(/\{([^}]+)\}/gu)].map(([, name]) => name);
      expect(parameters.filter((one) => one.in === "path").map(({ name }) => name)).toEqual(steps);
    }
  });

  test("is what the server answers with, and the server serves nothing else", async () => {
    const world = await startWorld();
    const got = await world.ask("GET", "/openapi.json");
    expect(got.json).toEqual(JSON.parse(JSON.stringify(document)));
    // A path that is not there lists all that are.
    const nothing = await world.ask("GET", "/nothing");
    const served = (nothing.json["endpoints"] as { method: string; path: string }[]).map(
      ({ method, path }) => `${method.toLowerCase()} ${path}`,
    );
    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    );
    expect(served.toSorted()).toEqual(described.toSorted());
    await world.close();
  });

  test("gives an example for each body, and the server takes them", async () => {
    const world = await startWorld();
    await world.ask("POST", "/v1/services", { body: exampleOf("post", "/v1/services") });
    for (const kind of ["services", "sandboxes", "groups"]) {
      const path = `/v1/${kind}`;
      const made = exampleOf("post", path);
      const created = await world.ask("POST", path, { body: made });
      expect([200, 201]).toContain(created.status);
      const one = `${path}/${String(made["name"])}`;
      expect((await world.ask("PUT", one, { body: exampleOf("put", `${path}/{name}`) })).status).toBe(200);
      expect((await world.ask("PATCH", one, { body: exampleOf("patch", `${path}/{name}`) })).status).toBe(200);
    }
    await world.close();
  });
});

interface Operation {
  readonly path: string;
  readonly operationId: string;
  readonly parameters: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly example: Record<string, unknown> }>> };
}

function exampleOf(method: string, path: string): Record<string, unknown> {
  const operation = document.paths[path]?.[method] as unknown as Operation;
  return Object.values(operation.requestBody?.content ?? {})[0]?.example ?? {};
}
