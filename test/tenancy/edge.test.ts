// Where the world comes in: nobody reaches a sandbox who was not meant to, whatever the request says and however it spells it, and
// the app hears of no key but one that counts.
import { connect } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { Peer } from "../support/peer.ts";
import {
  type Arrived,
  type Ask,
  type Field,
  type Version,
  type World,
  describeVersions,
  http1,
  startWorld,
  valuesOf,
} from "./world.ts";

const carriers = [
  { baggage: "sidelane" },
  { tracestate: "sidelane" },
  { header: "x-sandbox" },
  { host: "{key}--*" },
  { query: "sidelane" },
  { cookie: "sidelane" },
];

interface Case {
  readonly name: string;
  readonly ask: Ask;
  /** What is left of it; default: the request as it came, without fields. */
  readonly left?: Partial<Arrived>;
}

const cases: readonly Case[] = [
  {
    name: "baggage, the member alone",
    ask: { fields: [["baggage", "user=ada,sidelane=pr-7,b=2"]] },
    left: { fields: [["baggage", "user=ada,b=2"]] },
  },
  { name: "baggage, the whole field", ask: { fields: [["Baggage", "sidelane=pr-7"]] } },
  {
    name: "baggage, twice in a field",
    ask: { fields: [["baggage", "sidelane=pr-8,a=1,sidelane=pr-7;p"]] },
    left: { fields: [["baggage", "a=1"]] },
  },
  {
    name: "baggage, in several fields",
    ask: {
      fields: [
        ["baggage", "sidelane=pr-8"],
        ["BAGGAGE", "a=1, sidelane = pr-7"],
        ["baggage", ",sidelane\t=pr-7"],
      ],
    },
    left: { fields: [["baggage", "a=1"]] },
  },
  {
    name: "baggage, as an SDK would decode the name",
    ask: { fields: [["baggage", "side%6Cane=pr-7, %20sidelane=pr-7,+sidelane=pr-7,a=1"]] },
    left: { fields: [["baggage", "a=1"]] },
  },
  {
    name: "baggage, without a value",
    ask: { fields: [["baggage", "sidelane,sidelane=,sidelane;p=1,a=1"]] },
    left: { fields: [["baggage", "a=1"]] },
  },
  {
    name: "tracestate",
    ask: {
      fields: [
        ["tracestate", "a=1,sidelane=pr-7,b=2"],
        ["TraceState", "sidelane=pr-8"],
      ],
    },
    left: { fields: [["tracestate", "a=1,b=2"]] },
  },
  {
    name: "a header, every time",
    ask: {
      fields: [
        ["x-sandbox", "pr-7"],
        ["X-Sandbox", ""],
        ["X-SANDBOX", "pr-8"],
        ["x-sandboxes", "1"],
      ],
    },
    left: { fields: [["x-sandboxes", "1"]] },
  },
  {
    name: "cookies",
    ask: {
      fields: [
        ["cookie", 'sidelane=pr-7; a=1;sidelane="pr-8"; b=2'],
        ["Cookie", "sidelane = pr-7"],
      ],
    },
    left: { fields: [["cookie", "a=1; b=2"]] },
  },
  { name: "a query parameter", ask: { target: "/a?x=1&sidelane=pr-7&y=%20" }, left: { target: "/a?x=1&y=%20" } },
  {
    name: "a query parameter, twice and encoded",
    ask: { target: "/?sidelane=pr-7&s%69delane=pr-8&sidelane&sidelane=" },
    left: { target: "/" },
  },
  { name: "a host prefix", ask: { host: "pr-7--checkout.example" }, left: { host: "checkout.example" } },
  {
    name: "a host prefix with a port",
    ask: { host: "PR-7--checkout.example:8443" },
    left: { host: "checkout.example:8443" },
  },
  { name: "a host prefix, repeated", ask: { host: "a--pr-7--checkout" }, left: { host: "checkout" } },
  { name: "not a host that the table knows", ask: { host: "pr-7--known" }, left: { host: "pr-7--known" } },
  {
    name: "not the beginning of an internationalised name",
    ask: { host: "pr-7--xn--bcher-kva.example" },
    left: { host: "xn--bcher-kva.example" },
  },
  {
    name: "everything at once",
    ask: {
      host: "pr-7--checkout",
      target: "/?sidelane=pr-7&a",
      fields: [
        ["baggage", "sidelane=pr-7"],
        ["A", "1"],
        ["x-sandbox", "pr-7"],
        ["cookie", "sidelane=pr-7"],
        ["B", "2"],
      ],
    },
    left: {
      host: "checkout",
      target: "/?a",
      fields: [
        ["A", "1"],
        ["B", "2"],
      ],
    },
  },
];

const table = (names: Readonly<Record<string, string>>): object => ({
  services: { checkout: { hosts: ["checkout", "pr-7--known"] } },
  sandboxes: {
    "pr-7": { services: { checkout: [names["pr-7"]] } },
    "pr-8": { services: { checkout: [names["pr-8"]] } },
  },
});

const startEdge = (version: Version, edge: object, tenancy: object = {}, inbound: object = {}): Promise<World> =>
  startWorld(version, { inbound: { edge: true, ...inbound }, tenancy: { carriers, ...tenancy, edge }, table });

const lower = (fields: readonly Field[]): readonly Field[] =>
  fields.map(([name, value]) => [name.toLowerCase(), value]);

/** Names in small letters; what was changed may stand behind what was not. */
const sorted = (fields: readonly Field[]): readonly Field[] =>
  lower(fields).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));

describeVersions("a key that nobody vouches for", (version) => {
  test.each(cases)("is taken out: $name", async ({ ask, left = {} }) => {
    const world = await startEdge(version, {});
    const { arrived, reason } = await world.ask(ask);
    expect({ reason, ...arrived, fields: sorted(arrived?.fields ?? []) }).toEqual({
      reason: "",
      who: "app",
      host: left.host ?? ask.host ?? "checkout",
      target: left.target ?? ask.target ?? "/",
      fields: sorted(left.fields ?? []),
    });
    const strips = !ask.host?.endsWith("known");
    expect(await world.sidecar.metric("sidelane_keys_stripped_total", { where: "edge" })).toBe(strips ? 1 : 0);
  });

  test("is taken out although a trusted carrier has one, too", async () => {
    const world = await startEdge(version, { carriers: [{ header: "x-preview" }] });
    const { arrived } = await world.ask({
      target: "/?sidelane=pr-8",
      fields: [
        ["baggage", "sidelane=pr-8,user=ada"],
        ["x-preview", "pr-7"],
        ["cookie", "sidelane=pr-8"],
      ],
    });
    expect({ ...arrived, fields: sorted(arrived?.fields ?? []) }).toEqual({
      who: "pr-7",
      host: "checkout",
      target: "/",
      fields: [
        ["baggage", "user=ada,sidelane=pr-7"],
        ["x-preview", "pr-7"],
      ],
    });
  });

  test("does not count when the trusted carrier has none", async () => {
    const world = await startEdge(version, { carriers: [{ header: "x-preview" }] });
    const { arrived } = await world.ask({
      fields: [
        ["baggage", "sidelane=pr-8"],
        ["x-preview", ""],
      ],
    });
    expect(arrived).toMatchObject({ who: "app", fields: [] });
  });

  test("leaves a request without any as it is", async () => {
    const world = await startEdge(version, { carriers: [{ query: "sidelane" }] });
    const fields: readonly Field[] = [
      ["X-A", "1"],
      ["baggage", "a=1 , b=2"],
      ["cookie", "a=1;b=2"],
      ["tracestate", "x=1"],
    ];
    const { arrived } = await world.ask({ target: "/a?b&", fields });
    expect(arrived).toMatchObject({ who: "app", target: "/a?b&" });
    expect(lower(arrived?.fields ?? [])).toEqual(lower(fields));
    expect(await world.sidecar.metric("sidelane_keys_stripped_total", { where: "edge" })).toBe(0);
  });
});

describeVersions("a trusted carrier", (version) => {
  test.each([
    ["query", { query: "sidelane" }, { target: "/?sidelane=pr-7" }],
    ["cookie", { cookie: "sidelane" }, { fields: [["cookie", "sidelane=pr-7"]] }],
    ["host", { host: "{key}--*" }, { host: "pr-7--checkout" }],
    ["header", { header: "x-sandbox" }, { fields: [["x-sandbox", "pr-7"]] }],
  ] as const)("%s counts, and its key goes on in baggage", async (_, carrier, ask: Ask) => {
    const world = await startEdge(version, { carriers: [carrier] });
    const { arrived } = await world.ask(ask);
    expect(arrived?.who).toBe("pr-7");
    expect(valuesOf(arrived?.fields ?? [], "baggage")).toEqual(["sidelane=pr-7"]);
  });

  test("of baggage counts and stays as it is", async () => {
    const world = await startEdge(version, { carriers: [{ baggage: "sidelane" }] });
    const { arrived } = await world.ask({
      fields: [
        ["baggage", "a=1,sidelane=pr-7;p"],
        ["x-sandbox", "pr-8"],
      ],
    });
    expect(arrived).toMatchObject({ who: "pr-7", fields: [["baggage", "a=1,sidelane=pr-7;p"]] });
  });

  test("remembers, and forgets", async () => {
    const world = await startEdge(version, {
      carriers: [{ query: "sidelane", remember: "sidelane" }, { cookie: "sidelane" }],
    });
    const first = await world.ask({ target: "/?sidelane=pr-7" });
    expect(valuesOf(first.fields, "set-cookie")).toEqual(["sidelane=pr-7; Path=/; HttpOnly; SameSite=Lax"]);
    const next = await world.ask({ fields: [["cookie", "sidelane=pr-7"]] });
    expect(next.arrived?.who).toBe("pr-7");
    const last = await world.ask({ target: "/?sidelane=", fields: [["cookie", "sidelane=pr-7"]] });
    expect(last.arrived?.who).toBe("app");
    expect(valuesOf(last.fields, "set-cookie")).toEqual(["sidelane=; Path=/; Max-Age=0"]);
  });
});

describeVersions("a caller", (version) => {
  const asKeyed: Ask = { fields: [["baggage", "sidelane=pr-7"]] };

  test.each([
    ["127.0.0.1", "pr-7"],
    ["127.0.0.0/8", "pr-7"],
    ["0.0.0.0/0", "pr-7"],
    ["127.0.0.2", "app"],
    ["10.0.0.0/8", "app"],
    ["::1", "app"],
  ])("of %s reaches %s", async (range, who) => {
    const world = await startEdge(version, { callers: [range] });
    expect((await world.ask(asKeyed)).arrived).toMatchObject({ who, fields: who === "app" ? [] : asKeyed.fields });
  });

  test.each([
    ["127.0.0.0/8", "pr-7"],
    ["10.0.0.0/8", "app"],
  ])("over IPv4 at an IPv6 listener is known by %s", async (range, who) => {
    const world = await startEdge(version, { callers: [range] }, {}, { address: "[::]:0" });
    expect((await world.ask(asKeyed)).arrived?.who).toBe(who);
  });

  test("who is trusted keeps all that the request has, and may use what the world may", async () => {
    const world = await startEdge(version, { callers: ["127.0.0.1"], carriers: [{ header: "x-preview" }] });
    const fields: readonly Field[] = [
      ["baggage", "sidelane=pr-7"],
      ["x-preview", "pr-8"],
      ["x-sandbox", "pr-8"],
    ];
    expect((await world.ask({ fields })).arrived).toMatchObject({ who: "pr-7", fields });
    expect((await world.ask({ fields: [["x-preview", "pr-8"]] })).arrived?.who).toBe("pr-8");
  });

  test("hears where the request went only if trusted", async () => {
    const world = await startEdge(version, { callers: ["127.0.0.1"] });
    const stranger = await startEdge(version, { callers: ["127.0.0.2"] });
    const fields: readonly Field[] = [["x-sidelane-debug", "1"]];
    expect(valuesOf((await world.ask({ fields })).fields, "x-sidelane-route")).toHaveLength(1);
    const answer = await stranger.ask({ fields });
    expect(answer.arrived).toMatchObject({ who: "app", fields: [] });
    expect(valuesOf(answer.fields, "x-sidelane-route")).toEqual([]);
  });

  test("who is trusted can ask to be forgotten", async () => {
    const remembering = { carriers: [{ query: "sidelane", remember: "sidelane" }, { cookie: "sidelane" }] };
    const world = await startEdge(version, { callers: ["127.0.0.1"] }, remembering);
    const { arrived, fields } = await world.ask({ target: "/?sidelane=", fields: [["cookie", "sidelane=pr-7"]] });
    expect(arrived?.who).toBe("app");
    expect(valuesOf(fields, "set-cookie")).toEqual(["sidelane=; Path=/; Max-Age=0"]);
  });
});

test.each([
  ["::1", "pr-7"],
  ["::/64", "pr-7"],
  ["fd00::/8", "app"],
  ["127.0.0.1", "app"],
])("a caller over IPv6 is known by %s or not: %s", async (range, who) => {
  const world = await startEdge(http1, { callers: [range] }, {}, { address: "[::1]:0" });
  const socket = connect({ host: "::1", port: world.sidecar.port() });
  onTestFinished(() => void socket.destroy());
  const client = new Peer(socket);
  client.send("GET / HTTP/1.1\r\nHost: checkout\r\nbaggage: sidelane=pr-7\r\n\r\n");
  expect((await client.message()).field("x-who")).toBe(who);
});

test.each([
  ["an upgrade", "", "Connection: Upgrade\r\nUpgrade: websocket\r\n", ["connection", "upgrade", "x-a"]],
  ["with fields named in Connection", "", "Connection: x-sandbox, baggage, cookie, close\r\n", ["x-a"]],
  ["in absolute-form", "http://pr-7--other.example:81", "", ["x-a"]],
  ["HTTP/1.0", "", "", ["x-a"]],
])("HTTP/1.1: a key is taken out of a request %s", async (name, origin, lines, left) => {
  const world = await startEdge(http1, {});
  const keys = "baggage: sidelane=pr-7\r\nX-Sandbox:pr-7\r\nCookie:sidelane=pr-7\r\ntracestate: sidelane=pr-7\r\n";
  const version = name === "HTTP/1.0" ? "1.0" : "1.1";
  const { arrived, status } = await world.ask({
    raw: `GET ${origin}/a?sidelane=pr-7 HTTP/${version}\r\nHost: pr-7--checkout\r\n${keys}${lines}X-A: 1\r\n\r\n`,
  });
  expect({ status, who: arrived?.who, host: arrived?.host, target: arrived?.target }).toEqual({
    status: 200,
    who: "app",
    host: origin === "" ? "checkout" : "other.example:81",
    target: "/a",
  });
  expect(arrived?.fields.map(([field]) => field.toLowerCase()).toSorted()).toEqual(left);
});
