import { STATUS_CODES } from "./node-http.ts";

/** A whole answer of the admin server. */
export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  /** Fields besides those that every answer has. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Indented, because people read it with curl. */
export function jsonAnswer(status: number, value: object): Answer {
  return { status, contentType: "application/json", body: `${JSON.stringify(value, null, 2)}\n` };
}

/** RFC 9457. The title is that of the status, so the type is about:blank (§4.2.1); `more` are extension members. */
export function problemAnswer(
  status: number,
  detail: string,
  more: object = {},
  headers: Readonly<Record<string, string>> = {},
): Answer {
  const problem = { type: "about:blank", title: STATUS_CODES[status] ?? "Error", status, detail, ...more };
  const body = `${JSON.stringify(problem, null, 2)}\n`;
  return { status, contentType: "application/problem+json", body, headers };
}
