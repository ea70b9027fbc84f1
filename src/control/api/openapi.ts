// The OpenAPI document (https://spec.openapis.org/oas/v3.1.1.html), made from the routes.

import { z } from "zod";
import type { ApiAnswer, ApiParameter, ApiRoute } from "./route.ts";
import * as schemas from "./schemas.ts";

type Json = Readonly<Record<string, unknown>>;

/** Name of each schema in `components`. */
const components: Readonly<Record<string, z.ZodType>> = {
  Service: schemas.serviceSchema,
  Sandbox: schemas.sandboxSchema,
  Group: schemas.groupSchema,
  ServiceList: schemas.serviceListSchema,
  SandboxList: schemas.sandboxListSchema,
  GroupList: schemas.groupListSchema,
  DeletedService: schemas.serviceDeletedSchema,
  DeletedSandbox: schemas.sandboxDeletedSchema,
  DeletedGroup: schemas.groupDeletedSchema,
  SandboxStatus: schemas.statusSchema,
  Condition: schemas.conditionSchema,
  Table: schemas.tableAnswerSchema,
  Sidecars: schemas.sidecarsSchema,
  Trace: schemas.traceSchema,
  Audit: schemas.auditSchema,
  Explanation: schemas.explanationSchema,
  Live: schemas.liveSchema,
  Ready: schemas.readySchema,
  Problem: schemas.problemSchema,
};

const tags: Readonly<Record<string, string>> = {
  services: "What others call.",
  sandboxes: "Named sets of changed services.",
  groups: "Sandboxes that one key selects together.",
  table: "What sidecars get, and what they make of it.",
  sidecars: "Those who follow the table.",
  audit: "Who changed what.",
  connect: "For sidelane connect.",
  health: "For probes, monitoring and tools.",
};

const roleNotes: Readonly<Record<ApiRoute["role"], string>> = {
  anyone: "Needs no credentials.",
  sidecar: "Needs any role.",
  viewer: "Needs the role viewer.",
  editor: "Needs the role editor.",
};

/** The document. `version` is that of Sidelane. */
export function openApiDocument(routes: readonly ApiRoute[], version: string): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method.toLowerCase()] = operation(route);
  return {
    openapi: "3.1.1",
    info: {
      title: "Sidelane control plane",
      version,
      summary: "Services, sandboxes and groups, and what sidecars make of them.",
      description:
        "Errors are problems (RFC 9457). Bodies have no unknown fields; those that answers add may be sent back and count for nothing. GET answers HEAD, too.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    security: [{ token: [] }, { certificate: [] }],
    paths,
    components: {
      schemas: componentSchemas(),
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "A token of the tokens file." },
        certificate: { type: "mutualTLS", description: "A client certificate whose name auth.certificates has." },
      },
      responses: { Problem: problemResponse },
    },
  };
}

const problemResponse: Json = {
  description: "What is wrong, where, and what to do.",
  content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
};

function operation(route: ApiRoute): Json {
  const { operationId, tag, role, doc, parameters, body, headers = {}, answers, path } = route;
  const inPath = [...path.matchAll(/\{([a-z]+)\}/gu)].map((match) => match[1] ?? "");
  return {
    operationId,
    tags: [tag],
    summary: `${doc.slice(0, 1).toUpperCase()}${doc.slice(1)}`,
    description: roleNotes[role],
    ...(role === "anyone" ? { security: [] } : {}),
    parameters: [
      ...inPath.map((name) => ({ name, in: "path", required: true, schema: { type: "string" } })),
      ...parameters.map(queryParameter),
      ...Object.entries(headers).map(([name, description]) => ({
        name,
        in: "header",
        description,
        schema: { type: "string" },
      })),
    ],
    ...(body === undefined ? {} : { requestBody: { required: true, content: bodyContent(body) } }),
    responses: {
      ...Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, response(answer)])),
      default: { $ref: "#/components/responses/Problem" },
    },
  };
}

function queryParameter({ name, doc, schema, repeatable = false }: ApiParameter): Json {
  return { name, in: "query", description: doc, schema, ...(repeatable ? { style: "form", explode: true } : {}) };
}

function bodyContent({ schema, contentTypes, example }: NonNullable<ApiRoute["body"]>): Json {
  const shown = { schema: withoutDialect(z.toJSONSchema(schema, { io: "input" })), example };
  return Object.fromEntries(contentTypes.map((type) => [type, shown]));
}

function response({ doc, contentType, schema, headers = {} }: ApiAnswer): Json {
  const fields = Object.entries(headers).map(([name, description]) => [
    name,
    { description, schema: { type: "string" } },
  ]);
  const bare = contentType === "application/json" ? { type: "object" } : { type: "string" };
  const content = { schema: schema === undefined ? bare : reference(schema) };
  return {
    description: doc,
    ...(fields.length === 0 ? {} : { headers: Object.fromEntries(fields) as Json }),
    ...(contentType === "" ? {} : { content: { [contentType]: content } }),
  };
}

function reference(schema: z.ZodType): Json {
  const name = Object.keys(components).find((one) => components[one] === schema);
  if (name === undefined) return withoutDialect(z.toJSONSchema(schema, { io: "output" }));
  return { $ref: `#/components/schemas/${name}` };
}

function componentSchemas(): Json {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(components)) registry.add(schema, { id });
  const made = z.toJSONSchema(registry, { io: "output", uri: (id) => `#/components/schemas/${id}` });
  const entries = Object.entries(made.schemas).map(([id, schema]) => [id, withoutDialect(schema)] as const);
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** OpenAPI says for the whole document which dialect its schemas are of, and where they stand is their id. */
function withoutDialect(schema: object): Json {
  const { $schema: _, $id: __, id: ___, ...rest } = schema as Json;
  return rest;
}
