// Bodies of requests, as the document describes them. What is sent is judged by src/control/resources/spec-shape.ts, which has better
// words for what is wrong.

import { z } from "zod";

export const JSON_TYPES: readonly string[] = ["application/json"];
export const PATCH_TYPES: readonly string[] = ["application/merge-patch+json", "application/json"];

const name = z.string().describe("Letters, digits, `-`, `_` and `.`, up to 128.");
const version = z.int().optional().describe("As If-Match: refused when the resource has another one by now.");

/** A resource that is to be made. */
export function newBody(spec: z.ZodObject): z.ZodType {
  return z.object({ name, ...spec.shape });
}

/** A resource that is to be made or replaced. */
export function putBody(spec: z.ZodObject): z.ZodType {
  return z.object({ name: name.optional(), version, ...spec.shape });
}

export const patchBody = z.looseObject({}).describe("Fields of the resource; null removes one, maps are merged.");
