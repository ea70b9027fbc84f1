import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import type { Answer } from "./answer.ts";
import type { Parameter, Query } from "./query.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** What a request says besides its query and body. */
export interface Asked {
  /** Values of the `{name}` steps of the route's path, decoded. */
  readonly path: ReadonlyMap<string, string>;
  readonly headers: IncomingHttpHeaders;
}

/** One endpoint of a server. GET answers HEAD too. */
export interface Route<Backend> {
  readonly method: Method;
  /** Steps in braces stand for any text without a slash: `/v1/groups/{name}`. */
  readonly path: string;
  /** One line for `GET /` and for the documentation. */
  readonly doc: string;
  readonly parameters: readonly Parameter[];
  readonly answer: (
    backend: Backend,
    query: Query,
    body: Buffer,
    asked: Asked,
  ) => Answer | StreamAnswer | Promise<Answer | StreamAnswer>;
}

/** An answer that goes on: the server writes the head, `stream` the rest and the end. Not called for HEAD. */
export interface StreamAnswer {
  readonly status: 200;
  readonly contentType: string;
  readonly stream: (response: ServerResponse) => void;
}

/** The endpoints as `GET /` and a 404 list them. */
export function describeRoutes<Backend>(routes: readonly Route<Backend>[]): readonly object[] {
  return routes.map(({ method, path, doc, parameters }) => ({
    method,
    path,
    doc,
    ...(parameters.length === 0
      ? {}
      : { parameters: Object.fromEntries(parameters.map(({ name, doc: text }) => [name, text])) }),
  }));
}

/** The values of a path's `{name}` steps, or undefined when it is not this route's. Steps that do not decode fit nothing. */
export function matchPath(pattern: string, path: string): ReadonlyMap<string, string> | undefined {
  if (!pattern.includes("{")) return pattern === path ? NO_VALUES : undefined;
  const wanted = pattern.split("/");
  const steps = path.split("/");
  if (wanted.length !== steps.length) return undefined;
  const values = new Map<string, string>();
  for (const [index, step] of steps.entries()) {
    const want = wanted[index] ?? "";
    if (!want.startsWith("{")) {
      if (want !== step) return undefined;
      continue;
    }
    const value = decoded(step);
    if (value === undefined || value === "") return undefined;
    values.set(want.slice(1, -1), value);
  }
  return values;
}

const NO_VALUES: ReadonlyMap<string, string> = new Map();

function decoded(step: string): string | undefined {
  try {
    return decodeURIComponent(step);
  } catch {
    return undefined;
  }
}
