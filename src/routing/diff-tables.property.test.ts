// The diff is empty exactly when no request gets another decision, asked one by one.
import fc from "fast-check";
import { expect, test } from "vitest";
import { compile, serviceNames } from "./compile.ts";
import { CompiledTable } from "./compiled-table.ts";
import { decide, NO_KEY, NO_SERVICE } from "./decide.ts";
import type { RoutePolicy } from "./decide.ts";
import { diffTables } from "./diff-tables.ts";
import { hostsOf, portsOf } from "./document.ts";
import type { EndpointsDocument, TableDocument } from "./document.ts";
import { strictlyOwned } from "./expectation.ts";
import { seed } from "./fixture.ts";
import { validate } from "./validate.ts";

const ports = fc.constantFrom(undefined, { http: 80 }, { http: 80, grpc: 90 }, { grpc: 80, http: 90 }, { web: 80 });
const endpoint = fc.constantFrom("10.0.0.1:80", "10.0.0.2:80");
const serviceName = fc.constantFrom("a", "b", "constructor");
const key = fc.constantFrom("k", "pr-1", "g");

const drawnService = fc.record({
  ports,
  host: fc.constantFrom(undefined, "x", "y"),
  baseline: fc.option(endpoint),
});
const drawnSandbox = fc.record({
  key: fc.option(key),
  strict: fc.boolean(),
  services: fc.dictionary(serviceName, endpoint, { maxKeys: 2 }),
});
const drawnGroup = fc.record({ key: fc.option(key), sandboxes: fc.subarray(["pr-1", "pr-2"], { minLength: 0 }) });
const drawn = fc.record({
  services: fc.dictionary(serviceName, drawnService, { maxKeys: 3 }),
  sandboxes: fc.dictionary(fc.constantFrom("pr-1", "pr-2"), drawnSandbox, { maxKeys: 2 }),
  groups: fc.dictionary(fc.constant("g"), drawnGroup, { maxKeys: 1 }),
});
type Drawn = typeof drawn extends fc.Arbitrary<infer T> ? T : never;

/** As the first, but for a few things from the second: what one edit makes of a table. */
function edited<T extends object>(first: T, second: T, picks: Iterator<boolean>): T {
  const names = new Set([...Object.keys(first), ...Object.keys(second)]);
  const result: [string, unknown][] = [];
  for (const name of names) {
    const [a, b] = [first, second].map((one) => (Object.hasOwn(one, name) ? one[name as keyof T] : undefined));
    const isMap = [a, b].every((one) => typeof one === "object" && one !== null && !Array.isArray(one));
    const value = isMap ? edited(a as object, b as object, picks) : picks.next().value === true ? b : a;
    if (value !== undefined || name === "ports" || name === "host") result.push([name, value]);
  }
  return Object.fromEntries(result) as T;
}

const two = fc
  .tuple(drawn, drawn, fc.array(fc.nat(11), { minLength: 12, maxLength: 40 }))
  .map(([first, second, picks]): [Drawn, Drawn] => {
    const fromSecond = picks.map((pick) => pick === 0);
    return [first, edited(first, second, fromSecond.values())];
  });

const table: fc.Arbitrary<TableDocument> = drawn.map(documentFrom).filter(isValid);
const pair: fc.Arbitrary<readonly [TableDocument, TableDocument]> = fc
  .oneof(two, fc.tuple(drawn, drawn))
  .map(([first, second]) => [documentFrom(first), documentFrom(second)] as const)
  .filter((both) => both.every(isValid));

function isValid(document: TableDocument): boolean {
  return validate(document).problems.length === 0;
}

function documentFrom({ services, sandboxes, groups }: Drawn): TableDocument {
  const endpoints = (name: string, one: string): EndpointsDocument => {
    const declared = Object.hasOwn(services, name) ? services[name]?.ports : undefined;
    const names = Object.keys(declared ?? {});
    return names.length < 2 ? [one] : Object.fromEntries(names.map((port) => [port, [one]]));
  };
  const entries = {
    services: Object.entries(services).map(([name, { ports: own, host, baseline }]) => [
      name,
      {
        ...(own === undefined ? {} : { ports: own }),
        ...(host === undefined ? {} : { hosts: [host] }),
        ...(baseline === null ? {} : { baseline: endpoints(name, baseline) }),
      },
    ]),
    sandboxes: Object.entries(sandboxes).map(([name, { key: own, strict, services: changed }]) => [
      name,
      {
        ...(own === null ? {} : { key: own }),
        strict,
        services: Object.fromEntries(Object.entries(changed).map(([one, at]) => [one, endpoints(one, at)])),
      },
    ]),
    groups: Object.entries(groups).map(([name, { key: own, sandboxes: listed }]) => [
      name,
      {
        ...(own === null ? {} : { key: own }),
        sandboxes: listed.filter((member) => Object.hasOwn(sandboxes, member)),
      },
    ]),
  };
  return {
    services: Object.fromEntries(entries.services) as TableDocument["services"],
    sandboxes: Object.fromEntries(entries.sandboxes) as TableDocument["sandboxes"],
    groups: Object.fromEntries(entries.groups) as TableDocument["groups"],
  };
}

const outbound: RoutePolicy = { direction: "outbound", self: false, onUnknownKey: "baseline" };

/** The answers to every request that could be told apart, as text. */
function* answers(document: TableDocument, all: readonly TableDocument[]): Generator<string> {
  const compiled = new CompiledTable(compile(document, seed), 1, "");
  const services = [...new Set(all.flatMap((one) => serviceNames(one)))];
  const each = <T>(pick: (document: TableDocument, service: string) => readonly T[]): T[] => [
    ...new Set(all.flatMap((one) => services.flatMap((name) => pick(one, name)))),
  ];
  const hosts = each((one, name) => hostsOf(name, one.services[name]));
  const numbers = [1, 80, 90];
  const names = ["", "nobody", ...each((one, name) => Object.keys(portsOf(one.services[name])))];
  const targets = ["k", "pr-1", "pr-2", "g", "nobody", undefined].map((one) => {
    if (one === undefined) return NO_KEY;
    const bytes = Buffer.from(one);
    return compiled.findTarget(bytes, 0, bytes.length);
  });
  const answer = (policy: RoutePolicy, service: number, port: number, target: number): string => {
    const decision = decide(compiled, policy, service, port, target);
    const endpoints = decision.set === -1 ? [] : compiled.endpoints(decision.set);
    const { reason, service: name, destination } = decision;
    return JSON.stringify([reason, name, destination, endpoints, strictlyOwned(compiled, decision, service, target)]);
  };
  for (const target of targets) {
    for (const host of hosts) {
      const bytes = Buffer.from(host);
      const service = compiled.findService(bytes, 0, bytes.length);
      for (const number of numbers) {
        const port = service === NO_SERVICE ? -1 : compiled.servicePort(service, number);
        yield answer(outbound, service, port, target);
      }
    }
    for (const name of [...services, "elsewhere"]) {
      const service = compiled.serviceByName(name);
      for (const portName of names) {
        const port = service === NO_SERVICE ? -1 : compiled.servicePortByName(service, portName);
        yield answer({ ...outbound, direction: "inbound", service: name }, service, port, target);
      }
      // As a caller whose host is known by other means: `explain --service`.
      for (const number of numbers) {
        yield answer(outbound, service, service === NO_SERVICE ? -1 : compiled.servicePort(service, number), target);
      }
    }
  }
}

test("a diff is empty if and only if every decision is the same", () => {
  fc.assert(
    fc.property(pair, ([before, after]) => {
      const all = [before, after];
      const equal = JSON.stringify([...answers(before, all)]) === JSON.stringify([...answers(after, all)]);
      expect(diffTables(before, after).same).toBe(equal);
    }),
    { numRuns: 2000 },
  );
});

test("both ways the same changes", () => {
  fc.assert(
    fc.property(table, table, (before, after) => {
      const there = diffTables(before, after);
      const back = diffTables(after, before);
      expect(back.decisions.count).toBe(there.decisions.count);
      expect(back.keys.count).toBe(there.keys.count);
    }),
  );
});
