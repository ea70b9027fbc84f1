import { describe, expect, test } from "vitest";
import { emptyTable } from "./compiled-table.ts";
import { decide, NO_KEY, NO_SERVICE, UNKNOWN_KEY } from "./decide.ts";
import type { Decision, RoutePolicy } from "./decide.ts";
import { inbound, outbound, ownCopy, shopTable as table } from "./fixture.ts";

const NO_TARGET = { set: -1, refuse: false };

function ask(policy: RoutePolicy, service: string, port: number | string, key: string | undefined): Decision {
  const id = table.serviceByName(service);
  const bytes = Buffer.from(key ?? "");
  const target = key === undefined ? NO_KEY : table.findTarget(bytes, 0, bytes.length);
  if (id === NO_SERVICE) return decide(table, policy, id, -1, target);
  const servicePort = typeof port === "number" ? table.servicePort(id, port) : table.servicePortByName(id, port);
  return decide(table, policy, id, servicePort, target);
}

function endpoints(decision: Decision): readonly string[] | undefined {
  return decision.set === -1 ? undefined : table.endpoints(decision.set);
}

describe("outbound", () => {
  test("a host that is not in the table passes through, whatever the key", () => {
    const expected = { ...NO_TARGET, reason: "not-in-table", service: "", destination: "passthrough" };
    expect(ask(outbound, "example.com", 443, "pr-7")).toEqual(expected);
    expect(ask({ ...outbound, onUnknownKey: "reject" }, "example.com", 443, "pr-99")).toEqual(expected);
  });

  test("a port that the service does not have passes through", () => {
    const decision = ask(outbound, "ledger", 9999, "pr-7");
    expect(decision).toEqual({ ...NO_TARGET, reason: "not-in-table", service: "ledger", destination: "passthrough" });
  });

  test("no key: the baseline", () => {
    const decision = ask(outbound, "checkout", 80, undefined);
    expect(decision).toMatchObject({ reason: "no-key", service: "checkout", destination: "baseline", refuse: false });
    expect(endpoints(decision)).toEqual(["checkout:8080"]);
  });

  test("no key and no declared baseline: the authority itself", () => {
    const decision = ask(outbound, "payments", 80, undefined);
    expect(decision).toEqual({ ...NO_TARGET, reason: "no-key", service: "payments", destination: "baseline" });
  });

  test("unknown key: the baseline, or refused", () => {
    expect(ask(outbound, "checkout", 80, "pr-77")).toMatchObject({
      reason: "unknown-key",
      destination: "baseline",
      refuse: false,
    });
    const reject = ask({ ...outbound, onUnknownKey: "reject" }, "checkout", 80, "pr-77");
    expect(reject).toMatchObject({ reason: "unknown-key", refuse: true });
  });

  test("the sandbox's endpoints, of the port that was asked for", () => {
    const decision = ask(outbound, "ledger", 9090, "pr-7");
    expect(decision).toMatchObject({ reason: "sandbox", service: "ledger", destination: "pr-7", refuse: false });
    expect(endpoints(decision)).toEqual(["10.0.0.8:9090"]);
  });

  test("through a group, the destination is the sandbox, not the group", () => {
    expect(ask(outbound, "checkout", 80, "release-42")).toMatchObject({ reason: "sandbox", destination: "pr-7" });
    expect(ask(outbound, "payments", 80, "release-42")).toMatchObject({ reason: "sandbox", destination: "pr-9" });
  });

  test("a service that the sandbox does not change: the baseline", () => {
    const decision = ask(outbound, "checkout", 80, "pr-9");
    expect(decision).toMatchObject({ reason: "not-in-sandbox", destination: "baseline", refuse: false });
    expect(endpoints(decision)).toEqual(["checkout:8080"]);
  });
});

describe("inbound", () => {
  test("baseline means the listener's target, never the table's endpoints", () => {
    for (const key of [undefined, "pr-9", "pr-77"]) {
      expect(ask(inbound, "checkout", "", key)).toMatchObject({ ...NO_TARGET, destination: "baseline" });
    }
  });

  test("a sandbox that claims the service takes the request away", () => {
    const decision = ask(inbound, "checkout", "", "pr-7");
    expect(decision).toMatchObject({ reason: "sandbox", destination: "pr-7" });
    expect(endpoints(decision)).toEqual(["10.0.0.7:8080"]);
  });

  test("a service that the table does not know is still the config's service", () => {
    const policy = { ...inbound, service: "search", onUnknownKey: "reject" } as const;
    expect(ask(policy, "search", "", undefined)).toEqual({
      ...NO_TARGET,
      reason: "no-key",
      service: "search",
      destination: "baseline",
    });
    expect(ask(policy, "search", "", "pr-7")).toMatchObject({ reason: "not-in-sandbox", service: "search" });
    expect(ask(policy, "search", "", "pr-77")).toMatchObject({ reason: "unknown-key", refuse: true });
  });

  test("a listener that names no port of a service with several: visible as not-in-table, and still refused for an unknown key", () => {
    const policy = { ...inbound, service: "ledger", onUnknownKey: "reject" } as const;
    expect(ask(policy, "ledger", "", "pr-7")).toEqual({
      ...NO_TARGET,
      reason: "not-in-table",
      service: "ledger",
      destination: "baseline",
    });
    expect(ask(policy, "ledger", "", "pr-77")).toMatchObject({ reason: "unknown-key", refuse: true });
    expect(ask(policy, "ledger", "", undefined)).toMatchObject({ reason: "no-key" });
  });

  test("before the first table everything goes to the app", () => {
    const decision = decide(emptyTable, inbound, NO_SERVICE, -1, UNKNOWN_KEY);
    expect(decision).toEqual({ ...NO_TARGET, reason: "unknown-key", service: "checkout", destination: "baseline" });
  });
});

describe("beside a sandbox's own copy", () => {
  const own = { ...NO_TARGET, service: "checkout", destination: "pr-7" };

  test("any key goes to the app, known, foreign or unknown, even where unknown keys are rejected", () => {
    const policy = { ...ownCopy, onUnknownKey: "reject" } as const;
    for (const key of ["pr-7", "pr-9", "release-42", "pr-77"]) {
      expect(ask(policy, "checkout", "", key)).toEqual({ ...own, reason: "self" });
    }
  });

  test("without a key the reason is no-key, and the copy still answers", () => {
    expect(ask(ownCopy, "checkout", "", undefined)).toEqual({ ...own, reason: "no-key" });
  });
});
