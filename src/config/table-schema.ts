// The shape of a table file (DESIGN §3.3); what it becomes is a `TableDocument`. What one part says about another is checked in
// src/routing/validate.ts; the spelling of names, hosts, keys and endpoints too, because there both places can be named.

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

/** Endpoints of a service, wherever they are written. */
export const endpointsSchema = z
  .union([endpointList, z.record(z.string(), endpointList)])
  .describe("A list for a service with one port, a list per port name for a service with several.")
  .meta({ examples: [["10.0.0.7:8080"], { http: ["10.0.0.8:8080"], grpc: ["10.0.0.8:9090"] }] });

const service = z
  .strictObject({
    hosts: z
      .array(z.string())
      .optional()
      .describe(
        "How callers name the service in Host or :authority, without port; none: callers do not. Default: the service's name.",
      ),
    ports: z
      .record(z.string(), z.int().min(1).max(65535))
      .optional()
      .describe("Port names and numbers, for a service with several; told apart by the number in the authority."),
    baseline: endpointsSchema.optional().describe("The shared instances; used by outbound listeners."),
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
      .record(z.string(), endpointsSchema)
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
