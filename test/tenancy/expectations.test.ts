// Requests that say what has to answer them, and sandboxes that leave nothing to the baseline: an error instead of a test that
// passes without having tested anything.
import { Metadata } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { GrpcClient } from "../support/grpc.ts";
import { deadPort } from "../support/requests.ts";
import { startSidecar } from "../support/sidecar.ts";
import { type Ask, type Reply, type Version, describeVersions, startWorld, valuesOf } from "./world.ts";

const debug = ["x-sidelane-debug", "1"] as const;
const requiring = (properties: string, key = "pr-7", ask: Ask = {}): Ask => ({
  ...ask,
  fields: [["baggage", `user=ada,sidelane=${key}${properties}`], debug],
});
const outbound = (host: string): Ask => ({ listener: "outbound", host });

/** Refused for what the request expected: status, reason, text and debug line. */
function expectFailed(reply: Reply, { name }: Version, detail: RegExp, service = "checkout"): void {
  expect(reply.arrived).toBeUndefined();
  const { status, grpcStatus, reason } = reply;
  expect({ status, grpcStatus, reason }).toEqual(
    name === "gRPC"
      ? { status: 200, grpcStatus: 9, reason: "expectation-failed" }
      : { status: 424, grpcStatus: -1, reason: "expectation-failed" },
  );
  expect(reply.detail).toMatch(detail);
  // What to do about it.
  expect(reply.detail).toMatch(/add the service to the sandbox/);
  expect(valuesOf(reply.fields, "x-sidelane-route")).toEqual([`${service}=none;reason=expectation-failed;table=1`]);
}

const table = (names: Readonly<Record<string, string>>, strict: object = {}): object => {
  const at = (who: string): string[] => [names[who] ?? "127.0.0.1:1"];
  return {
    services: {
      checkout: { baseline: at("baseline") },
      ledger: { ports: { http: 8080, grpc: 9090 }, baseline: { http: at("baseline"), grpc: at("baseline") } },
      payments: {},
    },
    sandboxes: {
      "pr-7": { ...strict, services: { checkout: at("pr-7"), ledger: { http: at("pr-7"), grpc: at("pr-7") } } },
      "pr-8": { services: { payments: at("pr-8") } },
      down: { ...strict, services: { checkout: at("dead"), payments: at("dead") } },
    },
    groups: { both: { sandboxes: ["pr-8", "pr-7"] }, mixed: { sandboxes: ["down", "pr-7"] } },
  };
};

interface Case {
  readonly name: string;
  readonly ask: Ask;
  readonly who: string;
}

const met: readonly Case[] = [
  { name: "the sandbox has the service", ask: requiring(";require=checkout"), who: "pr-7" },
  { name: "another service is required", ask: requiring(";require=ledger", "pr-8"), who: "app" },
  { name: "a group has it", ask: requiring(";require=checkout", "both"), who: "pr-7" },
  {
    name: "the property belongs to another member",
    ask: { fields: [["baggage", "user=ada;require=checkout,sidelane=pr-8"]] },
    who: "app",
  },
  { name: "there is no key", ask: { fields: [["baggage", "user=ada;require=checkout"]] }, who: "app" },
  {
    name: "the property has another name",
    ask: requiring(";required=checkout;Require=checkout;x=require=checkout", "pr-8"),
    who: "app",
  },
  { name: "nothing is required", ask: requiring(";require=;require", "pr-8"), who: "app" },
  { name: "outbound, by the sandbox", ask: requiring(";require=checkout", "pr-7", outbound("checkout")), who: "pr-7" },
  {
    name: "outbound, of another service",
    ask: requiring(";require=ledger", "pr-8", outbound("checkout")),
    who: "baseline",
  },
  {
    name: "outbound, on a port of the service",
    ask: requiring(";require=ledger", "pr-7", outbound("ledger:9090")),
    who: "pr-7",
  },
];

interface Unmet {
  readonly name: string;
  readonly ask: Ask;
  readonly detail: RegExp;
  readonly service?: string;
}

const unmet: readonly Unmet[] = [
  {
    name: "the sandbox does not have the service",
    ask: requiring(";require=checkout", "pr-8"),
    detail: /requires checkout .*not-in-sandbox/,
  },
  {
    name: "nobody has the key",
    ask: requiring(";require=checkout", "pr-99"),
    detail: /requires checkout .*unknown-key/,
  },
  {
    name: "it is one of several",
    ask: requiring(";require=ledger+checkout+payments", "pr-8"),
    detail: /requires checkout /,
  },
  { name: "it is encoded", ask: requiring(";require=ledger%2Bcheck%6Fut", "pr-8"), detail: /requires checkout / },
  {
    name: "it stands among other properties",
    ask: requiring(" ; ttl=60 ; require = checkout ; x", "pr-8"),
    detail: /requires checkout /,
  },
  {
    name: "the name is misspelt",
    ask: requiring(";require=chekout"),
    detail: /requires chekout, and the table has no such service/,
  },
  { name: "one of the names is misspelt", ask: requiring(";require=checkout+chekout"), detail: /requires chekout,/ },
  {
    name: "outbound, the sandbox does not have it",
    ask: requiring(";require=checkout", "pr-8", outbound("checkout")),
    detail: /requires checkout .*not-in-sandbox/,
  },
  {
    name: "outbound, nobody has the key",
    ask: requiring(";require=checkout", "pr-99", outbound("checkout")),
    detail: /unknown-key/,
  },
  {
    name: "outbound, on another port",
    ask: requiring(";require=ledger", "pr-7", outbound("ledger:7")),
    detail: /requires ledger .*not-in-table/,
    service: "ledger",
  },
  {
    name: "outbound, the name is misspelt",
    ask: requiring(";require=legder", "pr-7", outbound("checkout")),
    detail: /requires legder,/,
  },
  {
    name: "outbound, the baseline is the authority itself",
    ask: requiring(";require=payments", "pr-7", outbound("payments:1")),
    detail: /requires payments /,
    service: "payments",
  },
];

describeVersions("a request that requires something", (version) => {
  test.each(met)("goes on: $name", async ({ ask, who }) => {
    const world = await startWorld(version, { table });
    const { arrived, reason } = await world.ask(ask);
    expect({ reason, who: arrived?.who }).toEqual({ reason: "", who });
    // Nobody behind is relieved of it.
    expect(valuesOf(arrived?.fields ?? [], "baggage")).toEqual(valuesOf(ask.fields ?? [], "baggage"));
  });

  test.each(unmet)("is refused: $name", async ({ ask, detail, service }) => {
    const world = await startWorld(version, { table });
    expectFailed(await world.ask(ask), version, detail, service);
    const labels = { reason: "expectation-failed", destination: "none", service: service ?? "checkout" };
    expect(await world.sidecar.metric("sidelane_requests_total", labels)).toBe(1);
    expect(await world.sidecar.metric("sidelane_active_requests")).toBe(0);
  });

  test("that is refused leaves its connection to the next one, and nothing to it", async () => {
    const world = await startWorld(version, { table });
    for (let i = 0; i < 3; i++) {
      expectFailed(await world.ask(requiring(";require=checkout", "pr-8")), version, /checkout/);
      expect((await world.ask(requiring("", "pr-8"))).arrived?.who).toBe("app");
      expect((await world.ask()).arrived?.who).toBe("app");
    }
  });

  test("is served beside a sandbox's own copy", async () => {
    const world = await startWorld(version, { table, sandbox: "pr-7" });
    const { arrived, fields } = await world.ask(requiring(";require=checkout"));
    expect(arrived?.who).toBe("app");
    expect(valuesOf(fields, "x-sidelane-route")).toEqual(["checkout=pr-7;reason=self;table=1"]);
  });

  test("comes before `onUnknownKey: reject` or not, but is never forwarded", async () => {
    const world = await startWorld(version, { table, tenancy: { onUnknownKey: "reject" } });
    const { arrived, reason } = await world.ask(requiring(";require=checkout", "pr-99"));
    expect({ arrived, reason }).toEqual({ arrived: undefined, reason: "unknown-key" });
  });
});

describeVersions("a sandbox that cannot be reached", (version) => {
  /** `down` has an endpoint on which nobody listens. */
  async function start(strict: object, onUnavailable: string) {
    const dead = `127.0.0.1:${await deadPort()}`;
    return startWorld(version, {
      table: (names) => table({ ...names, dead }, strict),
      tenancy: { onUnavailable },
    });
  }
  const ways: readonly (readonly [way: string, ask: Ask, who: string])[] = [
    ["inbound", {}, "app"],
    ["outbound", outbound("checkout"), "baseline"],
  ];

  test.each(ways)("%s: falls back with `baseline`, but not for those who require it", async (_, ask, who) => {
    const world = await start({}, "baseline");
    const reply = await world.ask(requiring("", "down", ask));
    expect(reply.arrived?.who).toBe(who);
    expect(valuesOf(reply.fields, "x-sidelane-route")).toEqual([
      "checkout=baseline;reason=sandbox-unavailable;table=1",
    ]);
    const refused = await world.ask(requiring(";require=checkout", "down", ask));
    expect({ reason: refused.reason, arrived: refused.arrived }).toEqual({
      reason: "expectation-failed",
      arrived: undefined,
    });
    expect((await world.ask(requiring(";require=ledger", "down", ask))).arrived?.who).toBe(who);
  });

  test("nor to the authority of a service without a declared baseline", async () => {
    const world = await start({}, "baseline");
    const host = `payments:${(world.names["elsewhere"] ?? "").split(":")[1]}`;
    const { arrived, reason } = await world.ask(requiring(";require=payments", "down", outbound(host)));
    expect({ arrived, reason }).toEqual({ arrived: undefined, reason: "expectation-failed" });
  });

  test.each(ways)("%s: does not when it is strict", async (_, ask) => {
    const world = await start({ strict: true }, "baseline");
    for (const key of ["down", "mixed"]) {
      const { arrived, reason } = await world.ask(requiring("", key, ask));
      expect({ key, arrived, reason }).toEqual({ key, arrived: undefined, reason: "expectation-failed" });
    }
  });

  test.each(ways)("%s: is what it is with `fail`", async (_, ask) => {
    for (const strict of [{}, { strict: true }]) {
      const world = await start(strict, "fail");
      for (const properties of ["", ";require=checkout"]) {
        const { arrived, reason } = await world.ask(requiring(properties, "down", ask));
        expect({ arrived, reason }).toEqual({ arrived: undefined, reason: "sandbox-unavailable" });
      }
    }
  });
});

describeVersions("a strict sandbox", (version) => {
  const strict = (names: Readonly<Record<string, string>>): object => table(names, { strict: true });

  test("serves what it has, and leaves to the baseline what it never had", async () => {
    const world = await startWorld(version, { table: strict });
    expect((await world.ask(requiring(""))).arrived?.who).toBe("pr-7");
    expect((await world.ask(requiring("", "both"))).arrived?.who).toBe("pr-7");
    expect((await world.ask(requiring("", "pr-7", outbound("ledger:8080")))).arrived?.who).toBe("pr-7");
    expect((await world.ask(requiring("", "pr-8"))).arrived?.who).toBe("app");
  });

  test.each(["pr-7", "both"])("does not let %s through on a port that the table does not have", async (key) => {
    const world = await startWorld(version, { table: strict });
    expectFailed(await world.ask(requiring("", key, outbound("ledger:7"))), version, /strict.*not-in-table/, "ledger");
  });

  test("says nothing about requests with other keys or none", async () => {
    const dead = `127.0.0.1:${await deadPort()}`;
    const world = await startWorld(version, {
      table: (names) => table({ ...names, dead }, { strict: true }),
      tenancy: { onUnavailable: "baseline" },
    });
    expect((await world.ask()).arrived?.who).toBe("app");
    expect((await world.ask(requiring("", "pr-99"))).arrived?.who).toBe("app");
    expect((await world.ask(outbound("checkout"))).arrived?.who).toBe("baseline");
  });
});

describe("to a gRPC library", () => {
  test("an expectation that failed is FAILED_PRECONDITION with the reason and what to do", async () => {
    const sidecar = await startSidecar({
      target: "127.0.0.1:1",
      table: { services: { checkout: {} }, sandboxes: { "pr-7": { services: {} } } },
    });
    const metadata = new Metadata();
    metadata.set("baggage", "sidelane=pr-7;require=checkout");
    const { code, details } = await new GrpcClient(sidecar.port()).unary("hello", { metadata });
    expect(code).toBe(9);
    expect(details).toMatch(/^expectation-failed: the request requires checkout .* add the service to the sandbox/);
  });
});
