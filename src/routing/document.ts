// The table file (DESIGN §3.3) as a type, and the shape that a parsed file must have. What one part says about another is
// checked in validate.ts; the spelling of names, hosts, keys and endpoints too, because there both places can be named.

import { z } from "zod";

const maps = <T extends z.ZodType>(value: T, doc: string) =>
  z
    .record(z.string(), value)
    .nullish()
    .transform((map) => map ?? {})
    .describe(doc);

const endpointList = z
  .array(z.string())
  .min(1, "a list of endpoints must not be empty")
  .describe("`host:port`, an IPv4 address, `[IPv6]` or a DNS name; several share the load")
  .meta({ examples: [["10.0.0.7:8080"]] });

const endpoints = z
  .union([endpointList, z.record(z.string(), endpointList)])
  .describe("A list for a service with one port, a list per port name for a service with several.")
  .meta({ examples: [["10.0.0.7:8080"], { http: ["10.0.0.8:8080"], grpc: ["10.0.0.8:9090"] }] });

const service = z
  .strictObject({
    hosts: z
      .array(z.string())
      .min(1, "a service needs at least one host; leave `hosts` out to use its name")
      .optional()
      .describe("How callers name the service in Host or :authority, without port. Default: the service's name."),
    ports: z
      .record(z.string(), z.int().min(1).max(65535))
      .optional()
      .describe("Port names and numbers, for a service with several; told apart by the number in the authority."),
    baseline: endpoints.optional().describe("The shared instances; used by outbound listeners."),
  })
  .nullable()
  .transform((value) => value ?? {})
  .describe("One service. Empty: its host is its name, it has one port and no declared baseline.");

const sandbox = z
  .strictObject({
    key: z.string().optional().describe("The routing key that selects the sandbox. Default: its name."),
    strict: z
      .boolean()
      .optional()
      .describe(
        "Whether each of its services has to answer itself: what would fall back to the baseline is refused (`expectation-failed`). Default: false.",
      )
      .meta({ examples: [true] }),
    services: z
      .record(z.string(), endpoints)
      .describe("The changed services with the sandbox's own endpoints.")
      .meta({ examples: [{ checkout: ["10.0.0.7:8080"] }] }),
  })
  .describe("A named set of changed services.")
  .meta({ examples: [{ services: { checkout: ["10.0.0.7:8080"] } }] });

const group = z
  .strictObject({
    key: z.string().optional().describe("The routing key that selects the group. Default: its name."),
    sandboxes: z
      .array(z.string())
      .min(1, "a group needs at least one sandbox")
      .describe("Names of sandboxes; the first that has the service wins.")
      .meta({ examples: [["pr-7", "pr-9"]] }),
  })
  .describe("Sandboxes that one key selects together.")
  .meta({ examples: [{ sandboxes: ["pr-7", "pr-9"] }] });

/** Shape of a table file; JSON Schema and types come from it. */
export const tableSchema = z
  .strictObject({
    services: maps(service, "Services that others call."),
    sandboxes: maps(sandbox, "Sandboxes and the services they change."),
    groups: maps(group, "Route groups."),
  })
  .describe("Sidelane routing table");

/** A table file that has the right shape. */
export type TableDocument = z.output<typeof tableSchema>;
export type ServiceDocument = TableDocument["services"][string];
export type SandboxDocument = TableDocument["sandboxes"][string];
/** Endpoints of a service: a list, or a list per port name. */
export type EndpointsDocument = SandboxDocument["services"][string];

/**
 * Looks a name up in one of the document's maps. Names come from a file, so `constructor` must not find what every object
 * inherits.
 */
export function entry<T>(map: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(map, name) ? map[name] : undefined;
}

/** The ports of a service by name; one unnamed port when it is not declared or does not name any. */
export function portsOf(service: ServiceDocument | undefined): Readonly<Record<string, number>> {
  return service?.ports ?? { "": 0 };
}

/** The endpoints for each port name; a plain list belongs to the only port. */
export function endpointsByPort(
  ports: Readonly<Record<string, number>>,
  endpoints: EndpointsDocument,
): readonly (readonly [port: string, endpoints: readonly string[]])[] {
  if (!Array.isArray(endpoints)) return Object.entries(endpoints);
  return [[Object.keys(ports)[0] ?? "", endpoints]];
}

/** The hosts a service claims, as they are compared: small letters, no final dot, IPv6 without brackets. */
export function hostsOf(name: string, service: ServiceDocument | undefined): readonly string[] {
  return (service?.hosts ?? [name]).map(canonicalHost);
}

/** The form in which hosts are compared. */
export function canonicalHost(host: string): string {
  const folded = host.toLowerCase();
  if (folded.startsWith("[") && folded.endsWith("]")) return folded.slice(1, -1);
  return folded.length > 1 && folded.endsWith(".") ? folded.slice(0, -1) : folded;
}
