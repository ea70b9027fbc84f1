// Services, sandboxes and groups: the same endpoints for each.

import type { z } from "zod";
import { MANAGER_FIELD } from "../managed.ts";
import type { Kind } from "../resource.ts";
import { groupSpecSchema, sandboxSpecSchema, serviceSpecSchema } from "../resources/schema.ts";
import {
  createResource,
  deleteResource,
  getResource,
  listResources,
  patchResource,
  putResource,
} from "./resource-requests.ts";
import type { ApiAnswer, ApiParameter, ApiRoute } from "./route.ts";
import {
  groupDeletedSchema,
  groupListSchema,
  groupSchema,
  sandboxDeletedSchema,
  sandboxListSchema,
  sandboxSchema,
  serviceDeletedSchema,
  serviceListSchema,
  serviceSchema,
} from "./schemas.ts";
import { listParameters } from "./select.ts";
import { JSON_TYPES, newBody, PATCH_TYPES, patchBody, putBody } from "./spec-bodies.ts";

const allowUnknown: ApiParameter = {
  name: "allowUnknownServices",
  doc: "1: the sandbox may have services that nobody has declared",
  schema: { type: "string", enum: ["0", "1"] },
};

const kinds = {
  service: {
    plural: "services",
    spec: serviceSpecSchema,
    one: serviceSchema,
    list: serviceListSchema,
    deleted: serviceDeletedSchema,
    parameters: [] as readonly ApiParameter[],
    example: { hosts: ["checkout"], baseline: ["checkout:8080"] },
    change: { baseline: ["checkout:8081"] },
    exampleName: "checkout",
  },
  sandbox: {
    plural: "sandboxes",
    spec: sandboxSpecSchema,
    one: sandboxSchema,
    list: sandboxListSchema,
    deleted: sandboxDeletedSchema,
    parameters: [allowUnknown] as readonly ApiParameter[],
    example: { services: { checkout: ["10.0.0.7:8080"] }, labels: { team: "shop" }, owner: "dana", ttl: "7d" },
    change: { services: { checkout: ["10.0.0.9:8080"] }, ttl: null },
    exampleName: "pr-7",
  },
  group: {
    plural: "groups",
    spec: groupSpecSchema,
    one: groupSchema,
    list: groupListSchema,
    deleted: groupDeletedSchema,
    parameters: [] as readonly ApiParameter[],
    example: { match: { all: { release: "42" } } },
    change: { description: "what goes out on Monday" },
    exampleName: "release-42",
  },
} as const satisfies Record<Kind, object>;

const managerHeader = {
  [MANAGER_FIELD]: "sidelane-operator: may change what is there for objects of Kubernetes; for others that is 409",
};
const ifMatchHeader = {
  ...managerHeader,
  "if-match": "the ETag that was read: 412 when the resource was changed since",
};
const tagged = { etag: "Version of the resource; for If-Match." };

/** The endpoints of one kind. */
export function resourceRoutes(kind: Kind): readonly ApiRoute[] {
  const { plural, spec, one, list, deleted, parameters, example, change, exampleName } = kinds[kind];
  const title = `${kind.slice(0, 1).toUpperCase()}${kind.slice(1)}`;
  const json = (doc: string, schema: z.ZodType, headers?: ApiAnswer["headers"]): ApiAnswer => ({
    doc,
    contentType: "application/json",
    schema,
    ...(headers === undefined ? {} : { headers }),
  });
  const path = `/v1/${plural}`;
  const onePath = `${path}/{name}`;
  return [
    {
      method: "GET",
      path,
      operationId: `list${title}${kind === "sandbox" ? "es" : "s"}`,
      tag: plural,
      role: "viewer",
      doc: `the ${plural}, in order of their names`,
      parameters: listParameters,
      answers: { 200: json(`A page of ${plural}.`, list) },
      answer: (call, query) => listResources(call, kind, plural, query),
    },
    {
      method: "POST",
      path,
      operationId: `create${title}`,
      tag: plural,
      role: "editor",
      doc: `makes a ${kind}; sending the very same again changes nothing`,
      parameters,
      headers: managerHeader,
      body: { schema: newBody(spec), contentTypes: JSON_TYPES, example: { name: exampleName, ...example } },
      answers: {
        200: json("It was there, made by the same with the same fields.", one, tagged),
        201: json("Made.", one, { ...tagged, location: "Path of the resource." }),
      },
      answer: (call, query, body, asked) => createResource(call, kind, query, body, asked),
    },
    {
      method: "GET",
      path: onePath,
      operationId: `get${title}`,
      tag: plural,
      role: "viewer",
      doc: `one ${kind}`,
      parameters: [],
      answers: { 200: json(`The ${kind}.`, one, tagged) },
      answer: (call, _, __, asked) => getResource(call, kind, asked),
    },
    {
      method: "PUT",
      path: onePath,
      operationId: `put${title}`,
      tag: plural,
      role: "editor",
      doc: `makes a ${kind}, or replaces all that was written about it`,
      parameters,
      headers: { ...ifMatchHeader, "if-none-match": "*: only where there is none yet" },
      body: { schema: putBody(spec), contentTypes: JSON_TYPES, example },
      answers: { 200: json("Replaced.", one, tagged), 201: json("Made.", one, tagged) },
      answer: (call, query, body, asked) => putResource(call, kind, query, body, asked),
    },
    {
      method: "PATCH",
      path: onePath,
      operationId: `patch${title}`,
      tag: plural,
      role: "editor",
      doc: `changes some fields of a ${kind}: a JSON Merge Patch (RFC 7396), null removes`,
      parameters,
      headers: ifMatchHeader,
      body: { schema: patchBody, contentTypes: PATCH_TYPES, example: change },
      answers: { 200: json("Changed.", one, tagged) },
      answer: (call, query, body, asked) => patchResource(call, kind, query, body, asked),
    },
    {
      method: "DELETE",
      path: onePath,
      operationId: `delete${title}`,
      tag: plural,
      role: "editor",
      doc: `deletes a ${kind} that nothing else names`,
      parameters: [],
      headers: ifMatchHeader,
      answers: { 200: json("What was deleted.", deleted) },
      answer: (call, _, __, asked) => deleteResource(call, kind, asked),
    },
  ];
}
