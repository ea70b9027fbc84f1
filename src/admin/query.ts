import { problemAnswer } from "./answer.ts";
import type { Answer } from "./answer.ts";

/** One query parameter of a route. */
export interface Parameter {
  readonly name: string;
  readonly doc: string;
  readonly repeatable?: boolean;
  /** Given and empty is something else than left out. */
  readonly keepsEmpty?: boolean;
}

/** Values by parameter name, in order; one that was left out is not there, nor is an empty one unless it `keepsEmpty`. */
export type Query = ReadonlyMap<string, readonly string[]>;

/** Reads a query string strictly: a misspelt parameter must not answer another question than the one asked. */
export function parseQuery(text: string, known: readonly Parameter[]): Query | Answer {
  const query = new Map<string, string[]>();
  for (const [name, value] of new URLSearchParams(text)) {
    const parameter = known.find((candidate) => candidate.name === name);
    if (parameter === undefined) {
      return badQuery(`there is no query parameter ${JSON.stringify(name)} here`, known);
    }
    if (value === "" && parameter.keepsEmpty !== true) continue;
    const values = query.get(name);
    if (values === undefined) query.set(name, [value]);
    else if (parameter.repeatable === true) values.push(value);
    else return badQuery(`the query parameter ${JSON.stringify(name)} may be given once`, known);
  }
  return query;
}

/** A 400 that says what could have been asked. */
export function badQuery(detail: string, known: readonly Parameter[]): Answer {
  const parameters = Object.fromEntries(known.map(({ name, doc }) => [name, doc]));
  return problemAnswer(400, known.length === 0 ? `${detail}; there are none` : detail, { parameters });
}

/** A header field as a query parameter gives it, `name: value`. */
export function parseField(text: string, known: readonly Parameter[]): readonly [name: string, value: string] | Answer {
  // RFC 9110 §5.1 and §5.5: a token, a colon, and no control characters but the tab.
  const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\P{Cc}]*?)[ \t]*$/u.exec(text);
  if (match !== null) return [match[1] ?? "", match[2] ?? ""];
  return badQuery(`${JSON.stringify(text)} is no header field; write it as in baggage: sidelane=pr-7`, known);
}
