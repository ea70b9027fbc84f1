// Whether something that stands where anybody may have written is a resource that nobody here stumbles over. Less is asked than of
// what people send (schema.ts): a later version may have written it, with fields and values that this one does not know.

import { z } from "zod";
import type { Resource, ResourceId } from "../resource.ts";

const texts = z.array(z.string());
const endpoints = z.union([texts, z.record(z.string(), texts)]);
const wanted = z.record(z.string(), z.union([z.string(), texts]));
const described = { labels: z.record(z.string(), z.string()), owner: z.string(), description: z.string() };

const meta = z.looseObject({
  version: z.number(),
  ...{ createdAt: z.string(), updatedAt: z.string() },
  ...{ createdBy: z.string(), updatedBy: z.string() },
});

const connected = z.looseObject({
  endpoints,
  ...{ session: z.string(), replica: z.string(), by: z.string(), machine: z.string(), since: z.string() },
});

const named = { name: z.string().min(1), meta };

const resource = z.discriminatedUnion("kind", [
  z.looseObject({
    kind: z.literal("service"),
    ...named,
    spec: z.looseObject({
      ...described,
      hosts: texts.optional(),
      ports: z.record(z.string(), z.number()).optional(),
      baseline: endpoints.optional(),
      probe: z.looseObject({ protocol: z.string(), path: z.string() }).optional(),
    }),
  }),
  z.looseObject({
    kind: z.literal("sandbox"),
    ...named,
    spec: z.looseObject({
      ...described,
      key: z.string().optional(),
      strict: z.boolean().optional(),
      services: z.record(z.string(), endpoints),
      ttl: z.string().optional(),
      ttlFrom: z.string().optional(),
      whenDisconnected: z.string().optional(),
      connected: z.record(z.string(), connected).optional(),
      temporary: z.boolean().optional(),
    }),
  }),
  z.looseObject({
    kind: z.literal("group"),
    ...named,
    spec: z.looseObject({
      ...described,
      key: z.string().optional(),
      sandboxes: texts.optional(),
      match: z.looseObject({ all: wanted.optional(), any: wanted.optional() }).optional(),
    }),
  }),
]);

const id = z.looseObject({ kind: z.enum(["service", "sandbox", "group"]), name: z.string() });

export function isResource(value: unknown): value is Resource {
  return resource.safeParse(value).success;
}

export function isResourceId(value: unknown): value is ResourceId {
  return id.safeParse(value).success;
}
