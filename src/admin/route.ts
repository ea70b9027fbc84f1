import type { ServerResponse } from "node:http";
import type { Answer } from "./answer.ts";
import type { Parameter, Query } from "./query.ts";

/** One endpoint of a server. GET answers HEAD too. */
export interface Route<Backend> {
  readonly method: "GET" | "POST";
  readonly path: string;
  /** One line for `GET /` and for the documentation. */
  readonly doc: string;
  readonly parameters: readonly Parameter[];
  readonly answer: (backend: Backend, query: Query, body: Buffer) => Answer | StreamAnswer | Promise<Answer>;
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
