// Where a key may travel, and what the endpoint gets of a request whose key came from there: everything as it was sent, in its
// order, and baggage with the key in it.
import { describe, expect, test } from "vitest";
import {
  type Ask,
  type Field,
  type Version,
  type World,
  describeVersions,
  http1,
  startWorld,
  valuesOf,
  without,
} from "./world.ts";

interface Case {
  readonly name: string;
  readonly carriers?: readonly object[];
  readonly ask: Ask;
  /** Who gets it; default: pr-7. */
  readonly who?: string;
  /** All fields of baggage that arrive; default: what was sent. */
  readonly baggage?: readonly string[];
}

const AROUND: readonly Field[] = [
  ["X-First", "1"],
  ["x-dUp", 'a, b;c="d"'],
];
const BEHIND: readonly Field[] = [
  ["X-Dup", "second"],
  ["Accept", "*/*"],
  ["X-Bytes", "caf\u00e9 \u00ff"],
];

/** The fields as they stand in this version. */
const inVersion = ({ name }: Version, fields: readonly Field[]): readonly Field[] =>
  name === "HTTP/1.1" ? fields : fields.map(([field, value]) => [field.toLowerCase(), value]);

/** Sends the request among other fields and looks at what comes of it. */
async function check(version: Version, world: World, { ask, who = "pr-7", baggage }: Case): Promise<void> {
  const own = ask.fields ?? [];
  const fields = [...AROUND, ...own, ...BEHIND];
  const { arrived, status } = await world.ask({ ...ask, fields });
  expect({ status, who: arrived?.who }).toEqual({ status: 200, who });
  expect(valuesOf(arrived?.fields ?? [], "baggage")).toEqual(baggage ?? valuesOf(own, "baggage"));
  expect(without(arrived?.fields ?? [], "baggage")).toEqual(without(inVersion(version, fields), "baggage"));
  expect(arrived?.target).toBe(ask.target ?? "/");
  expect(arrived?.host).toBe(ask.host ?? "checkout");
}

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

const written: readonly Case[] = [
  {
    name: "behind the members that are there, properties included",
    carriers: query,
    ask: { target: "/?sidelane=pr-7", fields: [["Baggage", "user=ada;ttl=60;x, tenant = a%20b"]] },
    baggage: ["user=ada;ttl=60;x, tenant = a%20b,sidelane=pr-7"],
  },
  {
    name: "into the first field of several",
    carriers: query,
    ask: {
      target: "/?sidelane=pr-7",
      fields: [
        ["baggage", "a=1"],
        ["BAGGAGE", "b=2"],
        ["baggage", "c=3"],
      ],
    },
    baggage: ["a=1,sidelane=pr-7", "b=2", "c=3"],
  },
  {
    name: "into an empty field",
    carriers: query,
    ask: { target: "/?sidelane=pr-7", fields: [["baggage", ""]] },
    baggage: ["sidelane=pr-7"],
  },
  {
    name: "instead of an older one",
    carriers: query,
    ask: { target: "/?sidelane=pr-7", fields: [["baggage", "sidelane=pr-8;old,user=ada"]] },
    baggage: ["user=ada,sidelane=pr-7"],
  },
  {
    name: "instead of older ones, in whichever field and spelling",
    carriers: query,
    ask: {
      target: "/?sidelane=pr-7",
      fields: [
        ["baggage", "a=1"],
        ["baggage", "sidelane=pr-8"],
        ["baggage", "side%6Cane=pr-8, b=2,sidelane = pr-8"],
      ],
    },
    baggage: ["a=1,sidelane=pr-7", "b=2"],
  },
  {
    name: "under the name of the first carrier of baggage",
    carriers: [{ query: "sb" }, { baggage: "tenant" }, { baggage: "other" }],
    ask: { target: "/?sb=pr-7", fields: [["baggage", "sidelane=pr-8"]] },
    baggage: ["sidelane=pr-8,tenant=pr-7"],
  },
  {
    name: "from another member of baggage, with its properties",
    carriers: [{ baggage: "other", propagate: true }],
    ask: { fields: [["baggage", "user=ada,other=pr-7;p=1"]] },
  },
  {
    name: "encoded",
    carriers: query,
    ask: { target: "/?sidelane=gr%C3%B6%C3%9Fe,1" },
    who: "pr-8",
    baggage: ["sidelane=gr%C3%B6%C3%9Fe%2C1"],
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

const strangeKeys = (names: Readonly<Record<string, string>>): object => {
  const sandbox = (who: string, key: string): object => ({ key, services: { checkout: [names[who] ?? ""] } });
  return {
    services: { checkout: { hosts: ["checkout", "pr-7--known"] } },
    sandboxes: {
      "pr-7": sandbox("pr-7", "pr-7"),
      "pr-8": sandbox("pr-8", "pr-8"),
      two: sandbox("pr-8", "two words"),
      sum: sandbox("pr-8", "1+1"),
      size: sandbox("pr-8", "größe,1"),
      level1: sandbox("pr-8", "dev"),
      level2: sandbox("pr-7", "dev.proj"),
    },
  };
};

describeVersions("a key travels in", (version) => {
  test.each([...kinds, ...orders, ...aliases, ...levels])("$name", async (one) => {
    const { carriers } = one;
    const tenancy = carriers === undefined ? {} : { carriers };
    await check(version, await startWorld(version, { tenancy, table: strangeKeys }), one);
  });

  test("mirrord's query parameter", async () => {
    const world = await startWorld(version, { tenancy: { carriers: [{ alias: "mirrord" }] } });
    await check(version, world, { name: "", ask: { target: "/?mirrord-session=pr-7" }, baggage: ["sidelane=pr-7"] });
  });

  test("an alias that does not propagate", async () => {
    const world = await startWorld(version, { tenancy: { carriers: [{ alias: "okteto", propagate: false }] } });
    await check(version, world, { name: "", ask: { fields: [["x-okteto-divert", "pr-7"]] } });
  });
});

describeVersions("the key is written", (version) => {
  test.each(written)("$name", async (one) => {
    const { carriers = [] } = one;
    const world = await startWorld(version, { tenancy: { carriers }, table: strangeKeys });
    if (one.name.startsWith("from another")) {
      await check(version, world, { ...one, baggage: ["user=ada,other=pr-7;p=1"] });
      return;
    }
    await check(version, world, one);
  });

  test("with the properties that it came with, and without white space at the end of the field", async () => {
    const world = await startWorld(version, { tenancy: { carriers: [{ baggage: "sidelane" }, { alias: "okteto" }] } });
    for (const [sent, came] of [
      ["okteto-divert=pr-7;p=1;q", "okteto-divert=pr-7;p=1;q,sidelane=pr-7;p=1;q"],
      ["okteto-divert=pr-7 ; p=1 ,user=ada", "okteto-divert=pr-7 ; p=1 ,user=ada,sidelane=pr-7;p=1"],
      ["okteto-divert=pr-7; ,user=ada", "okteto-divert=pr-7; ,user=ada,sidelane=pr-7"],
    ] as const) {
      const { arrived, reason } = await world.ask({ fields: [["baggage", sent]] });
      expect({ reason, baggage: valuesOf(arrived?.fields ?? [], "baggage") }).toEqual({ reason: "", baggage: [came] });
    }
  });

  const members = (count: number): string => Array.from({ length: count }, (_, i) => `m${i}=${i}`).join(",");
  const bytes = (count: number): string => `m=${"x".repeat(count - 2)}`;
  test.each([
    ["64 members", members(63), true],
    ["no more than 64 members", members(64), false],
    ["8192 bytes", bytes(8192 - ",sidelane=pr-7".length), true],
    ["no more than 8192 bytes", bytes(8193 - ",sidelane=pr-7".length), false],
  ])("within the limits of W3C Baggage: %s", async (_, baggage, fits) => {
    const world = await startWorld(version, { tenancy: { carriers: query } });
    const { arrived } = await world.ask({ target: "/?sidelane=pr-7", fields: [["baggage", baggage]] });
    expect(arrived?.who).toBe("pr-7");
    expect(valuesOf(arrived?.fields ?? [], "baggage")).toEqual([fits ? `${baggage},sidelane=pr-7` : baggage]);
    expect(await world.sidecar.metric("sidelane_keys_written_total", { source: "full" })).toBe(fits ? 0 : 1);
    expect(await world.sidecar.metric("sidelane_keys_written_total", { source: "query" })).toBe(fits ? 1 : 0);
  });

  test("or, without room for it, nobody behind is told another one", async () => {
    const world = await startWorld(version, { tenancy: { carriers: query } });
    const baggage = `sidelane=p,${bytes(8192 - "sidelane=p,".length)}`;
    const { arrived } = await world.ask({ target: "/?sidelane=pr-7", fields: [["baggage", baggage]] });
    expect(arrived?.who).toBe("pr-7");
    expect(valuesOf(arrived?.fields ?? [], "baggage").join(",")).not.toContain("sidelane=p");
    expect(await world.sidecar.metric("sidelane_keys_written_total", { source: "full" })).toBe(1);
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

describeVersions("`remember`", (version) => {
  const carriers = [{ query: "sidelane", remember: "sb" }, { cookie: "sb" }, { baggage: "sidelane" }];

  test("gives the client a cookie that has the same effect, until an empty parameter takes it away", async () => {
    const world = await startWorld(version, { tenancy: { carriers } });
    const first = await world.ask({ target: "/?sidelane=pr-7" });
    expect(first.arrived?.who).toBe("pr-7");
    expect(valuesOf(first.fields, "set-cookie")).toEqual(["sb=pr-7; Path=/; HttpOnly; SameSite=Lax"]);
    const next = await world.ask({ fields: [["cookie", "a=1; sb=pr-7"]] });
    expect(next.arrived?.who).toBe("pr-7");
    expect(valuesOf(next.arrived?.fields ?? [], "baggage")).toEqual(["sidelane=pr-7"]);
    expect(valuesOf(next.fields, "set-cookie")).toEqual([]);
    const another = await world.ask({ target: "/?sidelane=pr-8", fields: [["cookie", "sb=pr-7"]] });
    expect(another.arrived?.who).toBe("pr-8");
    expect(valuesOf(another.fields, "set-cookie")).toEqual(["sb=pr-8; Path=/; HttpOnly; SameSite=Lax"]);
    for (const target of ["/?sidelane=", "/?sidelane"]) {
      const last = await world.ask({
        target,
        fields: [
          ["cookie", "sb=pr-7"],
          ["baggage", "sidelane=pr-7"],
        ],
      });
      expect(last.arrived?.who).toBe("app");
      expect(valuesOf(last.fields, "set-cookie")).toEqual(["sb=; Path=/; Max-Age=0"]);
    }
  });

  test("keeps keys whole that no cookie could hold", async () => {
    const world = await startWorld(version, { tenancy: { carriers }, table: strangeKeys });
    const first = await world.ask({ target: "/?sidelane=gr%C3%B6%C3%9Fe,1" });
    const [cookieLine = ""] = valuesOf(first.fields, "set-cookie");
    const next = await world.ask({ fields: [["cookie", cookieLine.split(";")[0] ?? ""]] });
    expect([first.arrived?.who, next.arrived?.who]).toEqual(["pr-8", "pr-8"]);
  });

  test("leaves the endpoint's own cookies and other requests alone", async () => {
    const world = await startWorld(version, { tenancy: { carriers } });
    const { fields } = await world.ask({ fields: [["baggage", "sidelane=pr-7"]] });
    expect(valuesOf(fields, "set-cookie")).toEqual([]);
  });
});
