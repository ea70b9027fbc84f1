import { expect, test } from "vitest";
import fc from "fast-check";
import { compile } from "./compile.ts";
import { CompiledTable } from "./compiled-table.ts";
import { decide, NO_KEY, NO_SERVICE } from "./decide.ts";
import type { RoutePolicy } from "./decide.ts";
import { documentOf } from "./fixture.ts";
import type { EndpointsDocument, TableDocument } from "./document.ts";
import { referenceDecision, referenceStrict } from "./reference-matcher.ts";
import type { ReferenceDecision, ReferenceRequest } from "./reference-matcher.ts";
import { selfCheck } from "./self-check.ts";
import { validate } from "./validate.ts";

// Few names, so that requests hit, and names that are prefixes of each other, differ in case, or are inherited by objects.
const serviceName = fc.constantFrom("a", "ab", "constructor", "d.example", "e_f", "toString");
const undeclaredName = fc.constantFrom("implicit", "hasOwnProperty");
const sandboxName = fc.constantFrom("pr-1", "pr-12", "pr-123", "PR-1", "valueOf");
const groupName = fc.constantFrom("g", "g-1", "release");
const key = fc.constantFrom("k", "K", "k ey", "käse", "pr-1", "pr-12", "g");
const ports = fc.constantFrom(
  undefined,
  { http: 8080 },
  { http: 8080, grpc: 9090 },
  { grpc: 8080, http: 9090, admin: 1 },
);
const hosts = fc.constantFrom(undefined, ["x.example"], ["y.example.", "Y.shop"], ["10.0.0.1", "[::1]"]);

let endpointNumber = 0;
const endpoint = (): string => `10.0.${(endpointNumber >> 8) & 255}.${endpointNumber++ & 255}:80`;

function endpointsFor(portNames: readonly string[], asList: boolean): EndpointsDocument {
  if (portNames.length === 0 || (portNames.length === 1 && asList)) return [endpoint(), endpoint()];
  return Object.fromEntries(portNames.map((name) => [name, [endpoint()]]));
}

const service = fc.record({ ports, hosts, baseline: fc.boolean(), asList: fc.boolean() });
const sandbox = fc.record({
  key: fc.option(key, { nil: undefined }),
  strict: fc.option(fc.boolean(), { nil: undefined }),
  services: fc.uniqueArray(fc.oneof(serviceName, undeclaredName)),
  asList: fc.boolean(),
});
const group = fc.record({
  key: fc.option(key, { nil: undefined }),
  members: fc.uniqueArray(fc.nat(4), { minLength: 1, maxLength: 4 }),
});

const table = fc
  .record({
    services: fc.dictionary(serviceName, service),
    sandboxes: fc.dictionary(sandboxName, sandbox),
    groups: fc.dictionary(groupName, group),
  })
  .map(({ services, sandboxes, groups }): TableDocument => {
    const portNames = (name: string): readonly string[] =>
      Object.keys((Object.hasOwn(services, name) ? services[name]?.ports : undefined) ?? {});
    const names = Object.keys(sandboxes);
    return documentOf({
      services: mapValues(services, ({ ports: declared, hosts: claimed, baseline, asList }, name) => ({
        ...(declared === undefined ? {} : { ports: declared }),
        ...(claimed === undefined ? {} : { hosts: claimed }),
        ...(baseline ? { baseline: endpointsFor(portNames(name), asList) } : {}),
      })),
      sandboxes: mapValues(sandboxes, ({ key: own, strict, services: changed, asList }) => ({
        ...(own === undefined ? {} : { key: own }),
        ...(strict === undefined ? {} : { strict }),
        services: Object.fromEntries(changed.map((name) => [name, endpointsFor(portNames(name), asList)])),
      })),
      groups: Object.fromEntries(
        Object.entries(groups).flatMap(([name, { key: own, members }]) => {
          const chosen = members.flatMap((index) => names[index] ?? []);
          if (chosen.length === 0) return [];
          return [[name, { ...(own === undefined ? {} : { key: own }), sandboxes: chosen }]];
        }),
      ),
    });
  })
  .filter((document) => validate(document).problems.length === 0);

const policy: fc.Arbitrary<RoutePolicy> = fc
  .record({
    direction: fc.constantFrom("inbound", "outbound"),
    self: fc.boolean(),
    onUnknownKey: fc.constantFrom("baseline", "reject"),
  })
  .map(({ self, ...rest }) => ({ ...rest, self: self && rest.direction === "inbound", sandbox: "pr-1" }));

const request = fc.record({
  service: fc.oneof(
    serviceName,
    undeclaredName,
    fc.constantFrom("X.Example.", "y.example", "y.SHOP", "10.0.0.1", "[::1]", "::1", "A", "nobody"),
  ),
  number: fc.constantFrom(80, 8080, 9090, 1),
  name: fc.constantFrom("", "http", "grpc", "admin"),
  key: fc.option(fc.oneof(key, sandboxName, groupName, fc.constantFrom("pr-", "pr-1 ", "", "nobody")), {
    nil: undefined,
  }),
});

test("a compiled table and the plain matcher decide every request alike", () => {
  fc.assert(
    fc.property(
      table,
      fc.array(fc.tuple(policy, request), { minLength: 1, maxLength: 20 }),
      fc.integer(),
      (document, asked, low) => {
        const image = compile(document, { low, high: 7 });
        selfCheck(document, image);
        const compiled = new CompiledTable(image, 1, "");
        for (const [listener, { service: name, number, name: portName, key: sent }] of asked) {
          const port = listener.direction === "inbound" ? portName : number;
          const wanted = { service: name.replace(/^\[(.*)\]$/u, "$1"), port, key: sent };
          const own = listener.direction === "inbound" ? { ...listener, service: wanted.service } : listener;
          expect(compiledDecision(compiled, own, { ...wanted, service: name })).toEqual(
            referenceDecision(withoutBrackets(document), own, wanted),
          );
          expect(compiledStrict(compiled, sent, name)).toBe(
            sent !== undefined && referenceStrict(document, sent, name),
          );
        }
      },
    ),
    { numRuns: 500 },
  );
});

/** As the data plane asks: bytes in, ids through, endpoints out. */
function compiledDecision(
  compiled: CompiledTable,
  listener: RoutePolicy,
  { service: name, port, key: sent }: ReferenceRequest,
): ReferenceDecision {
  const host = Buffer.from(name);
  const id =
    listener.direction === "inbound" ? compiled.serviceByName(name) : compiled.findService(host, 0, host.length);
  let servicePort = -1;
  if (id !== NO_SERVICE) {
    servicePort = typeof port === "number" ? compiled.servicePort(id, port) : compiled.servicePortByName(id, port);
  }
  const bytes = Buffer.from(sent ?? "");
  const target = sent === undefined ? NO_KEY : compiled.findTarget(bytes, 0, bytes.length);
  const { set, ...decision } = decide(compiled, listener, id, servicePort, target);
  return { ...decision, endpoints: set === -1 ? undefined : compiled.endpoints(set) };
}

function compiledStrict(compiled: CompiledTable, sent: string | undefined, name: string): boolean {
  const bytes = Buffer.from(sent ?? "");
  const target = sent === undefined ? -1 : compiled.findTarget(bytes, 0, bytes.length);
  const service = compiled.serviceByName(name);
  if (target === -1 || service === NO_SERVICE) return false;
  const isStrict = compiled.strictFor(target, service);
  if (isStrict) expect(compiled.isStrict(target)).toBe(true);
  return isStrict;
}

/** Brackets around an IPv6 host are spelling, which the plain matcher does not know about. */
function withoutBrackets(document: TableDocument): TableDocument {
  const services = mapValues(document.services, (declared) =>
    declared.hosts === undefined
      ? declared
      : { ...declared, hosts: declared.hosts.map((host) => host.replace(/^\[(.*)\]$/u, "$1")) },
  );
  return { ...document, services };
}

function mapValues<T, U>(map: Readonly<Record<string, T>>, change: (value: T, name: string) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(map).map(([name, value]) => [name, change(value, name)]));
}
