// What a sidecar says of itself, before any of it is believed: all of it is shown to people, and kept as long as the stream lives.

import type { Hello } from "../../feed/messages.ts";

const NAME_LENGTH_MAX = 253;
const SERVICES_MAX = 10_000;
/** Of all names together: a scope is kept for as long as its sidecar is known. */
const SCOPE_LENGTH_MAX = 256 * 1024;
// eslint-disable-next-line no-control-regex -- that is what is looked for
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f]/u;

/** What is wrong with a hello, as a sentence for its sender; undefined: nothing. */
export function helloProblem(hello: Hello): string | undefined {
  const { instance, service, sandbox, host, version, scope, source, revision } = hello;
  const named = { instance, service, sandbox, "scope.services": "", host, version, source };
  if (instance === "") return "hello.instance is empty; send what is unique for this process";
  if (service === "") return "hello.service is empty; send the name of the service that the sidecar stands beside";
  for (const [field, value] of Object.entries(named)) {
    if (!fits(value)) return unfit(`hello.${field}`);
  }
  if (scope.services.length > SERVICES_MAX) {
    return `hello.scope.services names ${scope.services.length} services; name at most ${SERVICES_MAX}, or none for everything`;
  }
  if (scope.services.some((name) => name === "")) return "hello.scope.services has an empty name; leave it out";
  if (!scope.services.every(fits)) return unfit("hello.scope.services");
  if (scopeLength(hello) > SCOPE_LENGTH_MAX) {
    return `hello.scope.services is longer than ${SCOPE_LENGTH_MAX} characters; name fewer services, or none for everything`;
  }
  if (!Number.isSafeInteger(revision)) return "hello.revision is too large for a revision";
  return undefined;
}

/** Characters of all names of the scope. */
export function scopeLength({ scope }: Pick<Hello, "scope">): number {
  return scope.services.reduce((sum, { length }) => sum + length, 0);
}

function fits(text: string): boolean {
  return text.length <= NAME_LENGTH_MAX && text.isWellFormed() && !CONTROL_CHARACTER.test(text);
}

function unfit(field: string): string {
  return `${field} is longer than ${NAME_LENGTH_MAX} characters, or has control characters in it`;
}
