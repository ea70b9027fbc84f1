import { describe, expect, test } from "vitest";
import type { FlagValues } from "../command.ts";
import { patchFromFlags } from "./spec-flags.ts";

const sandbox = (flags: FlagValues, isUpdate = false): object => patchFromFlags("sandbox", flags, isUpdate);

describe("a sandbox's flags", () => {
  test("services: one port, several, several endpoints, IPv6", () => {
    const service = [
      "checkout=10.0.0.7:8080,[::1]:8080",
      "ledger:http=10.0.0.8:8080",
      "ledger:grpc=ledger-7:9090",
      "ledger:grpc=ledger-8:9090",
    ];
    expect(sandbox({ service })).toEqual({
      services: {
        checkout: ["10.0.0.7:8080", "[::1]:8080"],
        ledger: { http: ["10.0.0.8:8080"], grpc: ["ledger-7:9090", "ledger-8:9090"] },
      },
    });
  });

  test("everything else", () => {
    const flags = {
      key: "pr-7!",
      strict: true,
      ttl: "4h",
      ttlFrom: "traffic",
      label: ["team=a", "url=http://x/?a=b", "empty="],
      owner: "ada",
      description: "a new till",
    };
    expect(sandbox(flags)).toEqual({
      key: "pr-7!",
      strict: true,
      ttl: "4h",
      ttlFrom: "traffic",
      labels: { team: "a", url: "http://x/?a=b", empty: "" },
      owner: "ada",
      description: "a new till",
    });
    expect(sandbox({})).toEqual({});
  });

  test("a label has one value", () => {
    expect(() => sandbox({ label: ["team=a", "team=b"] })).toThrow("--label has team twice, and a label has one value");
  });

  test("an update takes away", () => {
    expect(sandbox({ service: ["checkout-"], label: ["team-"], ttl: "none", notStrict: true }, true)).toEqual({
      services: { checkout: null },
      labels: { team: null },
      ttl: null,
      strict: null,
    });
  });

  test.each<[FlagValues, string]>([
    [{ service: ["checkout"] }, "write it as checkout=10.0.0.7:8080"],
    [{ service: ["checkout=8080"] }, "'8080' is no endpoint: the host is missing"],
    [{ service: ["checkout=10.0.0.7"] }, "'10.0.0.7' is no endpoint"],
    [{ service: ["check out=10.0.0.7:1"] }, `" " cannot be part of a name`],
    [{ service: ["checkout-"] }, "a new sandbox has none"],
    [{ service: ["a=h:1", "a:http=h:2"] }, "once with and once without a port"],
    [{ service: ["a:http=h:2", "a=h:1"] }, "once with and once without a port"],
    [{ label: ["team"] }, "--label 'team' is no label, write it as team=a"],
    [{ label: ["team-"] }, "--label 'team-' is no label"],
    [{ ttl: "4" }, "--ttl '4' is no duration, write a number and s, m, h, d or w, as in 4h"],
    [{ ttl: "0h" }, "is over at once"],
    [{ key: "a;b" }, "a routing key holds no ';'"],
    [{ strict: true, notStrict: true }, "contradict each other"],
  ])("%j: %s", (flags, message) => {
    expect(() => sandbox(flags)).toThrow(message);
  });
});

describe("a group's flags", () => {
  test("a list, or labels; an update goes from one to the other", () => {
    expect(patchFromFlags("group", { sandbox: ["pr-7,pr-9", "pr-11"] }, false)).toEqual({
      sandboxes: ["pr-7", "pr-9", "pr-11"],
    });
    expect(patchFromFlags("group", { matchAll: ["team=a"], matchAny: ["x=1", "y=2"] }, true)).toEqual({
      match: { all: { team: "a" }, any: { x: "1", y: "2" } },
      sandboxes: null,
    });
    expect(() => patchFromFlags("group", { sandbox: ["pr-7"], matchAll: ["a=b"] }, false)).toThrow(
      "a group has either",
    );
  });
});

describe("a service's flags", () => {
  test("ports, baseline, probe", () => {
    const flags = {
      host: ["ledger", "ledger.shop"],
      port: ["http=8080", "grpc=9090"],
      baseline: ["http=ledger:8080", "grpc=ledger:9090,ledger-2:9090"],
      probe: "grpc",
    };
    expect(patchFromFlags("service", flags, false)).toEqual({
      hosts: ["ledger", "ledger.shop"],
      ports: { http: 8080, grpc: 9090 },
      baseline: { http: ["ledger:8080"], grpc: ["ledger:9090", "ledger-2:9090"] },
      probe: { protocol: "grpc", path: "/" },
    });
    expect(patchFromFlags("service", { probePath: "/up" }, true)).toEqual({ probe: { path: "/up" } });
    expect(() => patchFromFlags("service", { port: ["http"] }, false)).toThrow("write it as grpc=9090");
    expect(() => patchFromFlags("service", { port: ["http=70000"] }, false)).toThrow("write it as grpc=9090");
    expect(() => patchFromFlags("service", { baseline: ["a:1", "http=a:1"] }, false)).toThrow(
      "with and without a port",
    );
  });
});

test("a group asks for labels; several values of one are a list", () => {
  const flags = { matchAll: ["team=pay"], matchAny: ["stage=review", "stage=ready", "urgent=yes"] };
  expect(patchFromFlags("group", flags, false)).toEqual({
    match: { all: { team: "pay" }, any: { stage: ["review", "ready"], urgent: "yes" } },
  });
});
