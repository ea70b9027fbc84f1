// The key never leaves the system: what goes to hosts outside the table is freed of it, and of nothing else.
import { expect, test } from "vitest";
import { type Ask, type Field, describeVersions, startWorld, valuesOf, without } from "./world.ts";

const carriers = [
  { baggage: "sidelane" },
  { tracestate: "sidelane" },
  { header: "x-sandbox" },
  { host: "{key}--*" },
  { query: "sidelane" },
  { cookie: "sidelane" },
  { alias: "signadot" },
];

/** What is sent, and what arrives in its place. */
const cases: readonly (readonly [name: string, sent: readonly Field[], came: readonly Field[]])[] = [
  ["baggage", [["baggage", "user=ada;x, sidelane=pr-7;require=checkout ,b=2"]], [["baggage", "user=ada;x,b=2"]]],
  ["baggage alone", [["Baggage", "sidelane=pr-7"]], []],
  [
    "baggage in several fields",
    [
      ["baggage", "a=1,sidelane=pr-7"],
      ["baggage", "b=2 , c=3"],
      ["baggage", "sidelane=pr-8,d=4"],
    ],
    [
      ["baggage", "a=1"],
      ["baggage", "b=2 , c=3"],
      ["baggage", "d=4"],
    ],
  ],
  ["baggage in odd spellings", [["baggage", "a=1,side%6cane=pr-7,sidelane =pr-8"]], [["baggage", "a=1"]]],
  ["tracestate", [["tracestate", "x=1,sidelane=pr-7,y=2"]], [["tracestate", "x=1,y=2"]]],
  [
    "a header",
    [
      ["x-sandbox", "pr-7"],
      ["X-Sandbox", "pr-8"],
    ],
    [],
  ],
  ["a cookie", [["cookie", "a=1; sidelane=pr-7; b=2"]], [["cookie", "a=1; b=2"]]],
  [
    "an alias",
    [
      ["baggage", "sd-routing-key=pr-7,a=1"],
      ["tracestate", "sd-routing-key=pr-7"],
      ["ot-baggage-sd-routing-key", "pr-7"],
    ],
    [["baggage", "a=1"]],
  ],
];

describeVersions("towards hosts outside the table", (version) => {
  const around: readonly Field[] = [
    ["x-a", "1"],
    ["x-sandboxes", "pr-7"],
  ];
  const behind: readonly Field[] = [
    ["x-b", "sidelane=pr-7"],
    ["x-a", "2"],
  ];

  test.each(cases)("goes no %s", async (_, sent, came) => {
    const world = await startWorld(version, { tenancy: { carriers } });
    const host = world.names["elsewhere"] ?? "";
    const ask: Ask = { listener: "outbound", host, target: "/?a=1&sidelane=", fields: [...around, ...sent, ...behind] };
    const { arrived, reason } = await world.ask(ask);
    expect({ reason, who: arrived?.who, host: arrived?.host, target: arrived?.target }).toEqual({
      reason: "",
      who: "elsewhere",
      host,
      target: "/?a=1&sidelane=",
    });
    const names = ["baggage", "tracestate", "cookie"];
    expect(without(arrived?.fields ?? [], ...names)).toEqual([...around, ...behind]);
    for (const name of names) expect(valuesOf(arrived?.fields ?? [], name)).toEqual(valuesOf(came, name));
    expect(await world.sidecar.metric("sidelane_keys_stripped_total", { where: "egress" })).toBe(1);
  });

  test.each(cases)("goes %s with `keep`", async (_, sent) => {
    const world = await startWorld(version, {
      tenancy: { carriers: carriers.map((one) => ({ ...one, propagate: false })) },
      outbound: { egress: "keep" },
    });
    const fields = [...around, ...sent.map(([name, value]) => [name.toLowerCase(), value] as const), ...behind];
    const { arrived } = await world.ask({ listener: "outbound", host: world.names["elsewhere"] ?? "", fields });
    expect(arrived).toMatchObject({ who: "elsewhere", fields });
    expect(await world.sidecar.metric("sidelane_keys_stripped_total", { where: "egress" })).toBe(0);
  });

  test("nothing is written for a key that propagates", async () => {
    const world = await startWorld(version, { tenancy: { carriers } });
    const host = world.names["elsewhere"] ?? "";
    const { arrived } = await world.ask({ listener: "outbound", host, target: "/?sidelane=pr-7", fields: around });
    expect(arrived).toEqual({ who: "elsewhere", host, target: "/?sidelane=pr-7", fields: around });
  });

  test("what requires something is not held up", async () => {
    const world = await startWorld(version, { tenancy: { carriers, onUnknownKey: "reject" } });
    const host = world.names["elsewhere"] ?? "";
    for (const key of ["pr-7", "pr-99"]) {
      const fields: readonly Field[] = [["baggage", `sidelane=${key};require=checkout`]];
      expect((await world.ask({ listener: "outbound", host, fields })).arrived).toMatchObject({
        who: "elsewhere",
        fields: [],
      });
    }
  });

  test("within the table everything stays", async () => {
    const world = await startWorld(version, {
      tenancy: { carriers: [{ baggage: "sidelane" }, { header: "x-sandbox" }] },
    });
    const fields: readonly Field[] = [
      ["x-sandbox", "pr-8"],
      ["baggage", "sidelane=pr-7,a=1"],
    ];
    expect((await world.ask({ listener: "outbound", fields })).arrived).toMatchObject({ who: "pr-7", fields });
    expect((await world.ask({ listener: "outbound", host: "ledger:9", fields })).arrived).toMatchObject({
      who: "baseline",
      fields,
    });
  });

  test("a request without a key stays as it is", async () => {
    const world = await startWorld(version, { tenancy: { carriers } });
    const fields: readonly Field[] = [
      ["baggage", "a=1 , b=2"],
      ["x-a", "1"],
      ["baggage", "c=3"],
      ["cookie", "a=1;b=2"],
    ];
    const { arrived } = await world.ask({ listener: "outbound", host: world.names["elsewhere"] ?? "", fields });
    expect(arrived).toMatchObject({ who: "elsewhere", fields });
  });
});
