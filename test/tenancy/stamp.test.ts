// Whole workloads as tenants: what leaves without a key gets that of the config, and nothing else changes.
import { expect, test } from "vitest";
import { type Field, describeVersions, startWorld, valuesOf, without } from "./world.ts";

const stamped = { stamp: "pr-7" };
const baggageOf = ({ fields }: { readonly fields: readonly Field[] }): string[] => valuesOf(fields, "baggage");

describeVersions("a stamp", (version) => {
  test.each([
    ["no baggage", [], ["sidelane=pr-7"]],
    ["baggage of others", [["baggage", "user=ada;ttl=60, b=2"]], ["user=ada;ttl=60, b=2,sidelane=pr-7"]],
    [
      "several fields of baggage",
      [
        ["baggage", "a=1"],
        ["baggage", "b=2"],
      ],
      ["a=1,b=2,sidelane=pr-7"],
    ],
    ["a member without a value", [["baggage", "sidelane=,a=1"]], ["a=1,sidelane=pr-7"]],
  ] as const)("is given to a request with %s", async (_, sent: readonly Field[], came) => {
    const world = await startWorld(version, { tenancy: stamped });
    const fields: readonly Field[] = [["x-a", "1"], ...sent, ["x-b", " 2".trim()], ["x-a", "3"]];
    const { arrived } = await world.ask({ listener: "outbound", target: "/a?b=%20", fields });
    expect(arrived).toMatchObject({ who: "pr-7", host: "checkout", target: "/a?b=%20" });
    expect(arrived && baggageOf(arrived)).toEqual(came);
    expect(without(arrived?.fields ?? [], "baggage")).toEqual(without(fields, "baggage"));
    expect(await world.sidecar.metric("sidelane_keys_written_total", { source: "stamp" })).toBe(1);
  });

  test("goes along to services that the sandbox does not have", async () => {
    const world = await startWorld(version, { tenancy: stamped });
    const { arrived } = await world.ask({ listener: "outbound", host: "ledger" });
    expect(arrived).toMatchObject({ who: "baseline", fields: [["baggage", "sidelane=pr-7"]] });
  });

  test("is not for requests that have a key, known or not, wherever it is", async () => {
    const carriers = [{ baggage: "sidelane" }, { header: "x-sandbox" }, { query: "sidelane", propagate: false }];
    const world = await startWorld(version, { tenancy: { ...stamped, carriers } });
    for (const [ask, who] of [
      [{ fields: [["baggage", "sidelane=pr-8"]] }, "pr-8"],
      [{ fields: [["baggage", "sidelane=pr-99;p"]] }, "baseline"],
      [{ fields: [["x-sandbox", "pr-8"]] }, "pr-8"],
      [{ target: "/?sidelane=pr-8" }, "pr-8"],
    ] as const) {
      const { arrived } = await world.ask({ listener: "outbound", ...ask });
      expect(arrived).toMatchObject({ who, fields: "fields" in ask ? ask.fields : [] });
    }
    expect(await world.sidecar.metric("sidelane_keys_written_total", { source: "stamp" })).toBe(0);
  });

  test("is not for requests that ask for none", async () => {
    const carriers = [{ baggage: "sidelane" }, { query: "sidelane", remember: "sidelane" }, { cookie: "sidelane" }];
    const world = await startWorld(version, { tenancy: { ...stamped, carriers } });
    const { arrived } = await world.ask({ listener: "outbound", target: "/?sidelane=" });
    expect(arrived).toMatchObject({ who: "baseline", fields: [] });
  });

  test("is not for what comes in", async () => {
    const world = await startWorld(version, { tenancy: stamped });
    expect((await world.ask()).arrived).toMatchObject({ who: "app", fields: [] });
  });

  test.each([
    ["strip", []],
    ["keep", ["sidelane=pr-7"]],
  ])("beyond the table depends on `egress: %s`", async (egress, came) => {
    const world = await startWorld(version, { tenancy: stamped, outbound: { egress } });
    const { arrived } = await world.ask({ listener: "outbound", host: world.names["elsewhere"] ?? "" });
    expect(arrived?.who).toBe("elsewhere");
    expect(arrived && baggageOf(arrived)).toEqual(came);
  });

  test("under the name of the first carrier of baggage", async () => {
    const carriers = [{ header: "x-sandbox" }, { baggage: "tenant" }, { baggage: "sidelane" }];
    const world = await startWorld(version, { tenancy: { ...stamped, carriers } });
    const { arrived } = await world.ask({ listener: "outbound" });
    expect(arrived).toMatchObject({ who: "pr-7", fields: [["baggage", "tenant=pr-7"]] });
  });

  test("decides even when baggage has no room for it", async () => {
    const world = await startWorld(version, { tenancy: stamped });
    const full = Array.from({ length: 64 }, (_, i) => `m${i}=1`).join(",");
    const { arrived } = await world.ask({ listener: "outbound", fields: [["baggage", full]] });
    expect(arrived).toMatchObject({ who: "pr-7", fields: [["baggage", full]] });
    expect(await world.sidecar.metric("sidelane_keys_written_total", { source: "full" })).toBe(1);
  });

  test.each([
    ["baseline", ""],
    ["reject", "unknown-key"],
  ])("that nobody has is an unknown key like any other: %s", async (onUnknownKey, reason) => {
    const world = await startWorld(version, { tenancy: { stamp: "pr-99", onUnknownKey } });
    const reply = await world.ask({ listener: "outbound", fields: [["x-sidelane-debug", "1"]] });
    expect({ reason: reply.reason, who: reply.arrived?.who }).toEqual({
      reason,
      who: reason === "" ? "baseline" : undefined,
    });
  });

  test("shows in the answer to whoever asks, and follows the table", async () => {
    const world = await startWorld(version, { tenancy: stamped });
    const ask = { listener: "outbound", fields: [["x-sidelane-debug", "1"]] } as const;
    expect(valuesOf((await world.ask(ask)).fields, "x-sidelane-route")).toEqual([
      "checkout=pr-7;reason=sandbox;table=1",
    ]);
    world.sidecar.publish({ services: { checkout: { baseline: [world.names["baseline"]] } } });
    expect(valuesOf((await world.ask(ask)).fields, "x-sidelane-route")).toEqual([
      "checkout=baseline;reason=unknown-key;table=2",
    ]);
  });
});
