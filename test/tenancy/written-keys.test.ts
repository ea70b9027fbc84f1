// What a key that came from elsewhere leaves behind: a member of baggage for the services, and a cookie for the client.
import { connect } from "node:tls";
import { expect, onTestFinished, test } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import { PemFolder, makeAuthority } from "../support/certificates.ts";
import { Peer } from "../support/peer.ts";
import { type Case, expectArrives, strangeKeys } from "./arrives.ts";
import { describeVersions, http1, startWorld, valuesOf } from "./world.ts";

const query = [{ query: "sidelane" }];

const written: readonly Case[] = [
  {
    name: "behind the members that are there, properties included",
    carriers: query,
    ask: { target: "/?sidelane=pr-7", fields: [["Baggage", "user=ada;ttl=60;x, tenant = a%20b"]] },
    baggage: ["user=ada;ttl=60;x, tenant = a%20b,sidelane=pr-7"],
  },
  {
    name: "behind all members of several fields, which become one",
    carriers: query,
    ask: {
      target: "/?sidelane=pr-7",
      fields: [
        ["baggage", "a=1"],
        ["BAGGAGE", "b=2"],
        ["baggage", "c=3"],
      ],
    },
    baggage: ["a=1,b=2,c=3,sidelane=pr-7"],
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
    baggage: ["a=1,b=2,sidelane=pr-7"],
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

describeVersions("the key is written", (version) => {
  test.each(written)("$name", async (one) => {
    const { carriers = [] } = one;
    const world = await startWorld(version, { tenancy: { carriers }, table: strangeKeys });
    await expectArrives(version, world, one);
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

  test("or, without room for it, the log says so, once a while", async () => {
    const lines: string[] = [];
    const log = { ...silentLog, warn: (message: string) => void lines.push(message) };
    const world = await startWorld(version, { tenancy: { carriers: query }, log });
    for (let i = 0; i < 3; i++) await world.ask({ target: "/?sidelane=pr-7", fields: [["baggage", bytes(8192)]] });
    expect(lines.filter((line) => line.includes("baggage"))).toEqual([
      "a routing key was not written: baggage has no room left for it",
    ]);
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

  test("is for clients, not for the app beside, whose answers come from elsewhere", async () => {
    const world = await startWorld(version, { tenancy: { carriers } });
    const given = await world.ask({ listener: "outbound", target: "/?sidelane=pr-7" });
    expect(given.arrived?.who).toBe("pr-7");
    const taken = await world.ask({ listener: "outbound", target: "/?sidelane=", fields: [["cookie", "sb=pr-7"]] });
    expect(taken.arrived?.who).toBe("baseline");
    expect([...valuesOf(given.fields, "set-cookie"), ...valuesOf(taken.fields, "set-cookie")]).toEqual([]);
  });

  test("leaves the endpoint's own cookies and other requests alone", async () => {
    const world = await startWorld(version, { tenancy: { carriers } });
    const { fields } = await world.ask({ fields: [["baggage", "sidelane=pr-7"]] });
    expect(valuesOf(fields, "set-cookie")).toEqual([]);
  });
});

test("the cookie of a listener with TLS never goes without it", async () => {
  const authority = await makeAuthority();
  const folder = await PemFolder.make();
  const tls = await folder.putPair("tls", await authority.sign("checkout", { names: ["checkout"] }));
  const carriers = [{ query: "sidelane", remember: "sb" }, { cookie: "sb" }, { baggage: "sidelane" }];
  const world = await startWorld(http1, { inbound: { tls }, tenancy: { carriers } });
  const socket = connect({
    host: "127.0.0.1",
    port: world.sidecar.port(),
    servername: "checkout",
    ca: authority.certificate,
  });
  onTestFinished(() => void socket.destroy());
  const client = new Peer(socket);
  client.send("GET /?sidelane=pr-7 HTTP/1.1\r\nHost: checkout\r\n\r\n");
  const answer = await client.message();
  expect(answer.field("x-who")).toBe("pr-7");
  expect(answer.field("set-cookie")).toBe("sb=pr-7; Path=/; HttpOnly; SameSite=Lax; Secure");
});
