// The OpenAPI document, and whether answers are as it says.

import { Ajv2020 } from "ajv/dist/2020.js";
import type { ValidateFunction } from "ajv";
import { matchPath } from "../../src/admin/route.ts";
import { apiDocument } from "../../src/control/api/server.ts";
import type { Got } from "./api-world.ts";

interface Content {
  readonly schema: object;
}

interface Response {
  readonly $ref?: string;
  readonly content?: Readonly<Record<string, Content>>;
  readonly headers?: Readonly<Record<string, object>>;
}

interface Operation {
  readonly operationId: string;
  readonly responses: Readonly<Record<string, Response>>;
}

/** As far as it is looked at here. */
export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, object>>;
    readonly responses: Readonly<Record<string, Response>>;
  };
}

export const document = apiDocument("0.1.0") as unknown as Document;

const ajv = new Ajv2020({ strict: false, allErrors: true });
ajv.addSchema({ $id: "api", components: document.components });
const validators = new Map<object, ValidateFunction>();

/** Throws when an answer is none that the document has for the request. */
export function checkAnswer(method: string, target: string, got: Got): void {
  const path = target.replace(/\?.*$/su, "");
  const asked = `${method} ${path} -> ${got.status}`;
  const operation = operationOf(method, path);
  const own = operation?.responses[String(got.status)];
  const response = own ?? document.components.responses["Problem"];
  const type = got.headers["content-type"] ?? "";
  const content = Object.entries(response?.content ?? {}).find(
    ([name]) => type === name || type.startsWith(`${name};`),
  );
  if (content === undefined) throw new Error(`${asked}: the document knows no ${type}: ${got.body}`);
  for (const name of Object.keys(own?.headers ?? {})) {
    if (name !== "location" && got.headers[name] === undefined) throw new Error(`${asked}: there is no ${name}`);
  }
  if (method === "HEAD" || !/json/u.test(type)) return;
  const { schema } = content[1];
  const known = validators.get(schema);
  const validate = known ?? ajv.compile(withAbsoluteReferences(schema));
  validators.set(schema, validate);
  if (!validate(JSON.parse(got.body))) {
    throw new Error(`${asked} is not as the document says: ${ajv.errorsText(validate.errors)}\n${got.body}`);
  }
}

function operationOf(method: string, path: string): Operation | undefined {
  const found = Object.entries(document.paths).find(([pattern]) => matchPath(pattern, path) !== undefined);
  return found?.[1][method === "HEAD" ? "get" : method.toLowerCase()];
}

function withAbsoluteReferences(schema: object): object {
  return JSON.parse(JSON.stringify(schema).replaceAll('"#/components/', '"api#/components/')) as object;
}
