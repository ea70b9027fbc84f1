// What the API answers, as schemas: components of the OpenAPI document.

import { z } from "zod";
import { groupSpecSchema, sandboxSpecSchema, serviceSpecSchema } from "../resources/schema.ts";
import { endpointsSchema } from "../../config/table-schema.ts";

const time = z
  .string()
  .describe("ISO 8601, UTC.")
  .meta({ examples: ["2026-11-23T12:00:00.000Z"] });
const name = z
  .string()
  .describe("Name; unique among its kind.")
  .meta({ examples: ["pr-7"] });

/** What the control plane adds to each resource. */
const history = {
  version: z.int().describe("Revision in which it was last changed; also as ETag. For If-Match."),
  createdAt: time,
  createdBy: z.string().describe("Name of a token or certificate."),
  updatedAt: time,
  updatedBy: z.string(),
};

const warnings = z.array(z.string()).optional().describe("Answers to writes: what is legal and odd.");

/** One respect in which a sandbox is judged. */
export const conditionSchema = z
  .object({
    type: z.string().meta({ examples: ["Ready"] }),
    status: z.enum(["true", "false", "unknown"]),
    reason: z.string().describe("One word, for programs."),
    message: z.string().describe("A sentence, for people: which sidecar or endpoint is behind, and why."),
    since: time,
  })
  .describe("One respect in which a sandbox is judged.");

export const statusSchema = z
  .looseObject({
    conditions: z.array(conditionSchema),
    expiresAt: time.optional(),
    lastTrafficAt: time.optional(),
  })
  .describe("What goes on with a sandbox.");

const connectedSchema = z
  .looseObject({
    endpoints: endpointsSchema,
    by: z.string(),
    machine: z.string(),
    since: time,
  })
  .describe("A developer's machine that answers for a service.");

export const serviceSchema = z
  .object({ name, ...serviceSpecSchema.shape, ...history, warnings })
  .describe("A service.");

export const sandboxSchema = z
  .object({
    name,
    ...sandboxSpecSchema.shape,
    connected: z.record(z.string(), connectedSchema).optional(),
    temporary: z.boolean().optional().describe("Made by `sidelane connect --create`; goes with its last connection."),
    ...history,
    status: statusSchema.optional(),
    warnings,
  })
  .describe("A sandbox.");

export const groupSchema = z
  .object({
    name,
    ...groupSpecSchema.shape,
    members: z.array(z.string()).describe("Names of the sandboxes that belong to it now, in order."),
    ...history,
    warnings,
  })
  .describe("A group.");

const page = {
  revision: z.int().describe("Of the table that the list is from."),
  next: z.string().optional().describe("There are more: ask again with this as `after`."),
};

export const serviceListSchema = z.object({ services: z.array(serviceSchema), ...page });
export const sandboxListSchema = z.object({ sandboxes: z.array(sandboxSchema), ...page });
export const groupListSchema = z.object({ groups: z.array(groupSchema), ...page });

const revision = z.int().describe("Of the table without it.");
export const serviceDeletedSchema = z.object({ deleted: serviceSchema, revision });
export const sandboxDeletedSchema = z.object({ deleted: sandboxSchema, revision });
export const groupDeletedSchema = z.object({ deleted: groupSchema, revision });

/** Every error. */
export const problemSchema = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string().describe("A sentence: what is wrong, where, what to do."),
    problems: z
      .array(
        z.object({
          pointer: z.string().describe("JSON Pointer into the body; empty: all of it."),
          message: z.string(),
          hint: z.string().optional().describe("What to write instead."),
        }),
      )
      .optional()
      .describe("What is wrong with the body, field by field; at most 20."),
  })
  .describe("RFC 9457.");

const missing = z
  .array(z.object({ replica: z.string(), why: z.string() }))
  .describe("Replicas that did not answer: the answer lacks what they know.");

export const tableAnswerSchema = z
  .object({
    services: z.record(z.string(), z.looseObject({})),
    sandboxes: z.record(z.string(), z.looseObject({ services: z.record(z.string(), endpointsSchema) })),
    groups: z.record(z.string(), z.looseObject({ sandboxes: z.array(z.string()) })),
  })
  .describe("The table that sidecars get, as a table file; a group may have no sandboxes.");

export const sidecarsSchema = z.object({ sidecars: z.array(z.looseObject({})), missing });
export const traceSchema = z.object({ sidecars: z.array(z.looseObject({})), missing });

export const auditSchema = z.object({
  entries: z
    .array(
      z.object({
        at: time,
        actor: z.string(),
        action: z.enum(["create", "update", "delete", "expire", "connect", "disconnect"]),
        kind: z.enum(["service", "sandbox", "group"]),
        name: z.string(),
        revision: z.int(),
        detail: z.string(),
      }),
    )
    .describe("Newest first."),
});

export const explanationSchema = z
  .looseObject({
    summary: z.string(),
    service: z.string(),
    key: z.string().nullable(),
    reason: z.string(),
    destination: z.string(),
  })
  .describe("A decision, and the way to it; as `sidelane explain --json`.");

export const liveSchema = z.object({ live: z.literal(true) });
export const readySchema = z.object({
  ready: z.boolean(),
  reasons: z.array(z.string()).describe("Why it is not ready."),
  problems: z.array(z.string()).describe("What does not keep it from answering: a store that cannot be reached."),
});
