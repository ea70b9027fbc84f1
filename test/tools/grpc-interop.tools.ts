// The interop cases of gRPC between two implementations, first without sidecars, then through two in a row, on the baseline and in
// a sandbox. Not part of `npm test`, because it builds the official programs with Go; where these tests run it has to be there.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { casesNotApplied, goOnlyCases, keylessCases, interopCases } from "../interop/cases.ts";
import { installGoPrograms, listGoCases, runGoCase, startGoServer } from "../interop/go-programs.ts";
import { askServerId, checkHealth, runJsCase } from "../interop/js-client.ts";
import { type InteropServer, startJsServer } from "../interop/js-server.ts";
import { SANDBOX, startTap, startTopology } from "../interop/topology.ts";

type Implementation = "go" | "js";

const pairs: readonly (readonly [client: Implementation, server: Implementation])[] = [
  ["go", "js"],
  ["go", "go"],
  ["js", "go"],
  ["js", "js"],
];
const runCase = { go: runGoCase, js: runJsCase } as const;
const key = { baggage: `user=ada,sidelane=${SANDBOX}` };

/** Two servers of each kind: one is the baseline's, the other the sandbox's. */
const servers: Record<Implementation, InteropServer[]> = { go: [], js: [] };

beforeAll(async () => {
  await installGoPrograms();
  for (const id of ["baseline", SANDBOX]) {
    servers.js.push(await startJsServer(id));
    servers.go.push(await startGoServer());
  }
}, 600_000);

afterAll(async () => {
  for (const server of [...servers.go, ...servers.js]) await server.close();
});

/** The port of the n-th server of a kind. */
function port(server: Implementation, n: 0 | 1): number {
  return servers[server][n]?.port ?? 0;
}

test("every case of the official client is run, or has a reason not to", async () => {
  const official = await listGoCases();
  const known = [...interopCases.map(({ name }) => name), ...goOnlyCases, ...Object.keys(casesNotApplied)];
  expect(official).toContain("empty_unary");
  expect(official.filter((name) => !known.includes(name))).toEqual([]);
});

describe.each(pairs)("%s client, %s server", (client, server) => {
  const cases = client === "go" && server === "go" ? [...interopCases, ...goOnlyCases.map(goOnly)] : interopCases;

  describe("directly", () => {
    test.each(cases)("$name", async ({ name, mayNotArrive }) => {
      const tap = await startTap(port(server, 0));
      await runCase[client](name, tap.port);
      expect(tap.bytesFromServer).toBeGreaterThan(mayNotArrive === true ? -1 : 0);
    });
  });

  describe.each([
    ["baseline", {}],
    ["sandbox", key],
  ] as const)("through two sidecars, %s", (destination, metadata) => {
    const keyed = cases.filter(({ name }) => destination === "baseline" || !keylessCases.includes(name));
    test.each(keyed)("$name", async ({ name, statuses, mayNotArrive }) => {
      const topology = await startTopology(port(server, 0), port(server, 1));
      const [right, wrong] =
        destination === "baseline" ? [topology.baseline, topology.sandbox] : [topology.sandbox, topology.baseline];
      await runCase[client](name, topology.port, metadata);

      expect(wrong.tap.connections).toBe(0);
      if (mayNotArrive === true) return;
      expect(right.tap.bytesFromServer).toBeGreaterThan(0);
      // Both sidecars say the same: how many calls there were, where they went, and how they ended.
      const label = destination === "baseline" ? "baseline" : SANDBOX;
      for (const status of new Set(statuses)) {
        const count = statuses.filter((one) => one === status).length;
        const labels = { service: "interop", direction: "outbound", destination: label, grpc_status: String(status) };
        await expect.poll(() => topology.caller.metric("sidelane_grpc_requests_total", labels)).toBe(count);
        await expect
          .poll(() => right.sidecar.metric("sidelane_grpc_requests_total", { ...labels, direction: "inbound" }))
          .toBe(count);
      }
    });
  });
});

describe("through two sidecars, js client, js server", () => {
  test.each([
    ["baseline", {}],
    [SANDBOX, key],
  ] as const)("the server of %s says so itself", async (id, metadata) => {
    const topology = await startTopology(port("js", 0), port("js", 1));
    expect(await askServerId(topology.port, metadata)).toBe(id);
  });

  test.each([
    ["baseline", {}],
    [SANDBOX, key],
  ] as const)("the health check is answered by the app of %s", async (id, metadata) => {
    const topology = await startTopology(port("js", 0), port("js", 1));
    expect(await checkHealth(topology.port, metadata)).toEqual(["SERVING", "SERVING"]);
    const [right, wrong] =
      id === "baseline" ? [topology.baseline, topology.sandbox] : [topology.sandbox, topology.baseline];
    expect([right.tap.connections, wrong.tap.connections]).toEqual([1, 0]);
  });
});

/** How the calls of these end is the client's affair: there are many. */
function goOnly(name: string): (typeof interopCases)[number] {
  return { name, statuses: [] };
}
