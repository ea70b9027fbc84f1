// Where a key may travel, and what the endpoint gets of a request whose key came from there: everything as it was sent, in its
// order, and baggage with the key in it.
import { describe, expect, test } from "vitest";
import { type Case, expectArrives, strangeKeys } from "./arrives.ts";
import { describeVersions, http1, startWorld, valuesOf } from "./world.ts";

const query = [{ query: "sidelane" }];
const cookie = [{ cookie: "sidelane" }];
const host = [{ host: "{key}--*" }];

const kinds: readonly Case[] = [
  { name: "baggage by default", ask: { fields: [["Baggage", "user=ada, sidelane=pr-7;p=1 ,z"]] } },
  {
    name: "baggage of another name does not count",
    ask: { fields: [["baggage", "Sidelane=pr-7,sidelane2=pr-7"]] },
    who: "app",
  },
  {
    name: "baggage in several fields",
    ask: {
      fields: [
        ["baggage", "a=1"],
        ["baggage", "sidelane=pr-7"],
      ],
    },
  },
  { name: "baggage percent-encoded", ask: { fields: [["baggage", "sidelane=%70r-7"]] } },
  {
    name: "tracestate",
    carriers: [{ tracestate: "sidelane" }],
    ask: { fields: [["Tracestate", "a=1,sidelane=pr-7"]] },
  },
  { name: "a header", carriers: [{ header: "X-Sandbox" }], ask: { fields: [["x-Sandbox", "pr-7"]] } },
  {
    name: "a header by its first value",
    carriers: [{ header: "X-Sandbox" }],
    ask: {
      fields: [
        ["X-Sandbox", ""],
        ["X-Sandbox", "pr-7"],
        ["X-Sandbox", "pr-8"],
      ],
    },
  },
  {
    name: "a header that propagates",
    carriers: [{ header: "x-sandbox", propagate: true }],
    ask: { fields: [["X-Sandbox", "pr-7"]] },
    baggage: ["sidelane=pr-7"],
  },
  {
    name: "tracestate that propagates",
    carriers: [{ tracestate: "sidelane", propagate: true }],
    ask: { fields: [["tracestate", "sidelane=pr-7"]] },
    baggage: ["sidelane=pr-7"],
  },
  {
    name: "a query parameter",
    carriers: query,
    ask: { target: "/cart?a=1&sidelane=pr-7&b=2" },
    baggage: ["sidelane=pr-7"],
  },
  {
    name: "a query parameter, encoded",
    carriers: query,
    ask: { target: "/?side%6cane=%70r%2D7" },
    baggage: ["sidelane=pr-7"],
  },
  {
    name: "a query parameter with a plus",
    carriers: query,
    ask: { target: "/?sidelane=two+words" },
    who: "pr-8",
    baggage: ["sidelane=two%20words"],
  },
  {
    name: "a query parameter with an encoded plus",
    carriers: query,
    ask: { target: "/?sidelane=1%2B1" },
    who: "pr-8",
    baggage: ["sidelane=1+1"],
  },
  {
    name: "a query parameter of another name",
    carriers: query,
    ask: { target: "/sidelane=pr-7?xsidelane=pr-7&sidelane2=pr-7" },
    who: "app",
  },
  {
    name: "the first of two parameters",
    carriers: query,
    ask: { target: "/?sidelane=pr-7&sidelane=pr-8" },
    baggage: ["sidelane=pr-7"],
  },
  {
    name: "a query parameter that stays here",
    carriers: [{ query: "sidelane", propagate: false }],
    ask: { target: "/?sidelane=pr-7" },
  },
  {
    name: "a cookie among others",
    carriers: cookie,
    ask: { fields: [["Cookie", 'a=1; xsidelane=pr-8; sidelane=pr-7; b="2"']] },
    baggage: ["sidelane=pr-7"],
  },
  {
    name: "a cookie that stays here",
    carriers: [{ cookie: "sidelane", propagate: false }],
    ask: { fields: [["cookie", "sidelane=pr-7"]] },
  },
  { name: "a host prefix", carriers: host, ask: { host: "pr-7--checkout.example.com" }, baggage: ["sidelane=pr-7"] },
  {
    name: "a host prefix in capitals, with a port",
    carriers: host,
    ask: { host: "PR-7--Checkout.example.com:8080" },
    baggage: ["sidelane=pr-7"],
  },
  {
    name: "a host suffix",
    carriers: [{ host: "*.{key}.preview.example" }],
    ask: { host: "checkout.pr-7.preview.example" },
    baggage: ["sidelane=pr-7"],
  },
  {
    name: "a host that stays here",
    carriers: [{ host: "{key}--*", propagate: false }],
    ask: { host: "pr-7--checkout" },
  },
  { name: "an address is no host of that form", carriers: host, ask: { host: "[::1]:8080" }, who: "app" },
  {
    name: "a host that the table knows as it is carries no key",
    carriers: host,
    ask: { host: "pr-7--known" },
    who: "app",
  },
  {
    name: "the prefix of internationalised names is no key",
    carriers: host,
    ask: { host: "xn--bcher-kva.example" },
    who: "app",
  },
  {
    name: "a key that nobody has goes on as well",
    carriers: query,
    ask: { target: "/?sidelane=pr-99" },
    who: "app",
    baggage: ["sidelane=pr-99"],
  },
];

const orders: readonly Case[] = [
  {
    name: "the first carrier that yields a key decides",
    carriers: [{ header: "x-sandbox" }, { baggage: "sidelane" }],
    ask: {
      fields: [
        ["baggage", "sidelane=pr-8"],
        ["x-sandbox", "pr-7"],
      ],
    },
  },
  {
    name: "and the next if it yields none",
    carriers: [{ header: "x-sandbox" }, { baggage: "sidelane" }],
    ask: {
      fields: [
        ["baggage", "sidelane=pr-7"],
        ["x-sandbox", ""],
      ],
    },
  },
  {
    name: "a key of the first that nobody has is not made up for by the second",
    carriers: [{ query: "sidelane" }, { baggage: "sidelane" }],
    ask: { target: "/?sidelane=gone", fields: [["baggage", "sidelane=pr-7"]] },
    who: "app",
    baggage: ["sidelane=gone"],
  },
  {
    name: "an empty parameter yields none",
    carriers: [{ query: "sidelane" }, { baggage: "sidelane" }],
    ask: { target: "/?sidelane=", fields: [["baggage", "sidelane=pr-7"]] },
  },
];

const aliases: readonly Case[] = [
  ["signadot", "baggage", "user=ada,sd-routing-key=pr-7"] as const,
  ["signadot", "tracestate", "a=1,sd-routing-key=pr-7"] as const,
  ["signadot", "ot-baggage-sd-routing-key", "pr-7"] as const,
  ["signadot", "uberctx-sd-routing-key", "pr-7"] as const,
  ["mirrord", "baggage", "mirrord-session=pr-7"] as const,
  ["mirrord", "cookie", "a=1; mirrord-session=pr-7"] as const,
  ["okteto", "baggage", "okteto-divert=pr-7"] as const,
  ["okteto", "x-okteto-divert", "pr-7"] as const,
  ["bridge-to-kubernetes", "kubernetes-route-as", "pr-7"] as const,
  ["bridge-to-kubernetes", "azds-route-as", "pr-7"] as const,
  ["ktenv", "X-Virtual-Env", "pr-7"] as const,
  ["nocalhost", "uberctx-trace", "pr-7"] as const,
  ["nocalhost", "baggage-trace", "pr-7"] as const,
  ["uber", "baggage", "request-tenancy=pr-7"] as const,
  ["uber", "uberctx-request-tenancy", "pr-7"] as const,
].map(([alias, name, value]) => ({
  name: `${alias}: ${name}`,
  carriers: [{ baggage: "sidelane" }, { alias }],
  ask: { fields: [[name, value]] },
  baggage: [name === "baggage" ? `${value},sidelane=pr-7` : "sidelane=pr-7"],
}));

const levels: readonly Case[] = [
  ["dev.proj.feature", "pr-7", "dev.proj"] as const,
  ["dev.proj", "pr-7", "dev.proj"] as const,
  ["dev.other.feature", "pr-8", "dev"] as const,
  ["dev", "pr-8", "dev"] as const,
  ["prod.proj", "app", "prod.proj"] as const,
  ["development.x", "app", "development.x"] as const,
].map(([key, who, baggage]) => ({
  name: `${key} is ${baggage}`,
  carriers: [{ alias: "ktenv" }],
  ask: { fields: [["x-virtual-env", key]] },
  who,
  baggage: [`sidelane=${baggage}`],
}));

describeVersions("a key travels in", (version) => {
  test.each([...kinds, ...orders, ...aliases, ...levels])("$name", async (one) => {
    const { carriers } = one;
    const tenancy = carriers === undefined ? {} : { carriers };
    await expectArrives(version, await startWorld(version, { tenancy, table: strangeKeys }), one);
  });

  test("mirrord's query parameter", async () => {
    const world = await startWorld(version, { tenancy: { carriers: [{ alias: "mirrord" }] } });
    await expectArrives(version, world, {
      name: "",
      ask: { target: "/?mirrord-session=pr-7" },
      baggage: ["mirrord-session=pr-7"],
    });
  });

  test("an alias that does not propagate", async () => {
    const world = await startWorld(version, { tenancy: { carriers: [{ alias: "okteto", propagate: false }] } });
    await expectArrives(version, world, { name: "", ask: { fields: [["x-okteto-divert", "pr-7"]] } });
  });
});

describeVersions("outbound, a host prefix", (version) => {
  const tenancy = { carriers: [{ baggage: "sidelane" }, ...host] };

  test.each(["pr-7--checkout", "PR-7--CheckOut:80", "pr-7--checkout.shop.svc:8080", "pr-7--checkout."])(
    "names the service behind it: %s",
    async (authority) => {
      const world = await startWorld(version, { tenancy });
      const reply = await world.ask({ listener: "outbound", host: authority, fields: [["x-sidelane-debug", "1"]] });
      expect(reply.arrived).toMatchObject({ who: "pr-7", host: authority });
      expect(valuesOf(reply.arrived?.fields ?? [], "baggage")).toEqual(["sidelane=pr-7"]);
      expect(valuesOf(reply.fields, "x-sidelane-route")).toEqual(["checkout=pr-7;reason=sandbox;table=1"]);
    },
  );

  test("names the service even if the key comes from elsewhere, or nobody has it", async () => {
    const world = await startWorld(version, { tenancy });
    const other = await world.ask({
      listener: "outbound",
      host: "pr-8--checkout",
      fields: [["baggage", "sidelane=pr-7"]],
    });
    expect(other.arrived).toMatchObject({ who: "pr-7", host: "pr-8--checkout" });
    const nobody = await world.ask({ listener: "outbound", host: "pr-99--checkout" });
    expect(nobody.arrived).toMatchObject({ who: "baseline" });
    expect(valuesOf(nobody.arrived?.fields ?? [], "baggage")).toEqual(["sidelane=pr-99"]);
  });
});

describe("over HTTP/1.1, the whole head is as it was", () => {
  /** Sends it as it stands; gives what came, all lines of it. */
  async function came(carriers: readonly object[], raw: string, listener = "inbound"): Promise<unknown> {
    const world = await startWorld(http1, { tenancy: { carriers }, table: strangeOutbound });
    const { arrived, status } = await world.ask({ raw, listener });
    return { status, ...arrived };
  }
  const strangeOutbound = (names: Readonly<Record<string, string>>): object => ({
    services: { checkout: { baseline: [names["baseline"]] } },
    sandboxes: { "pr-7": { services: { checkout: [names["pr-7"]] } } },
  });

  test.each(["inbound", "outbound"])("absolute-form, %s", async (listener) => {
    const raw = "GET http://pr-7--checkout:80/a?b HTTP/1.1\r\nHost: other\r\nX-A: 1\r\n\r\n";
    expect(await came(host, raw, listener)).toEqual({
      status: 200,
      who: "pr-7",
      host: "pr-7--checkout:80",
      target: "/a?b",
      fields: [
        ["X-A", "1"],
        ["baggage", "sidelane=pr-7"],
      ],
    });
  });

  test("absolute-form with a parameter and no path", async () => {
    const raw = "GET http://checkout?sidelane=pr-7 HTTP/1.1\r\nHost: checkout\r\n\r\n";
    expect(await came(query, raw)).toEqual({
      status: 200,
      who: "pr-7",
      host: "checkout",
      target: "/?sidelane=pr-7",
      fields: [["baggage", "sidelane=pr-7"]],
    });
  });

  test.each([
    ["with Host", "Host: pr-7--checkout\r\n", "pr-7--checkout", "pr-7"],
    ["without", "", undefined, "app"],
  ])("HTTP/1.0 %s", async (_, line, authority, who) => {
    const answer = await came(host, `GET /a HTTP/1.0\r\n${line}X-A: 1\r\n\r\n`);
    expect(answer).toMatchObject({
      status: 200,
      who,
      target: "/a",
      ...(authority === undefined ? {} : { host: authority }),
    });
  });

  test("HTTP/1.0 without Host, by a parameter", async () => {
    expect(await came(query, "GET /?sidelane=pr-7 HTTP/1.0\r\n\r\n")).toMatchObject({
      who: "pr-7",
      target: "/?sidelane=pr-7",
      fields: [["baggage", "sidelane=pr-7"]],
    });
  });

  test("a body behind it", async () => {
    const raw =
      "POST /?sidelane=pr-7 HTTP/1.1\r\nHost: checkout\r\nBaggage:a=1\r\nContent-Length: 5\r\nX-A:  1\r\n\r\nhello";
    expect(await came(query, raw)).toMatchObject({
      who: "pr-7",
      fields: [
        ["Content-Length", "5"],
        ["X-A", "1"],
        ["Baggage", "a=1,sidelane=pr-7"],
      ],
    });
  });
});
