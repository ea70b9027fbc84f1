// What a request demands of the services that answer it: `sidelane=pr-7;require=checkout+payments` in baggage, or a sandbox
// that the table calls strict. Answered by the baseline all the same, a test would pass that has tested nothing.
import { findProperty } from "../protocol/context/baggage-property.ts";
import { Found } from "../protocol/context/found.ts";
import type { CompiledTable } from "./compiled-table.ts";
import { NAME_LENGTH_MAX } from "./names.ts";
import { type Decision, NO_SERVICE } from "./decide.ts";

const REQUIRE = new TextEncoder().encode("require");
const SEMICOLON = 0x3b;
const value = new Found();

/** Names of the services that a key's properties demand, all `require` together; undefined when they demand nothing. */
export function requiredServices(key: Found): readonly string[] | undefined {
  const { propertiesBytes, propertiesStart, propertiesEnd } = key;
  if (propertiesEnd === propertiesStart) return undefined;
  const names: string[] = [];
  let any = false;
  for (let start = propertiesStart; start < propertiesEnd;) {
    // Not `indexOf`: it would go on to the end of the bytes, which in HTTP/1.1 are all that a connection has read.
    let end = start;
    while (end < propertiesEnd && propertiesBytes[end] !== SEMICOLON) end++;
    if (findProperty(propertiesBytes, start, end, REQUIRE, value)) {
      any = true;
      names.push(...new TextDecoder().decode(value.bytes.subarray(value.start, value.end)).split("+"));
    }
    start = end + 1;
  }
  return any ? names.map((name) => name.trim()).filter((name) => name !== "") : undefined;
}

/** Whether the decision leaves a service to the baseline. */
export function leavesToBaseline({ destination }: Decision): boolean {
  return destination === "baseline" || destination === "passthrough";
}

/**
 * What is wrong with a decision for a request that demands these services, as a sentence; undefined: nothing. `isPartial`: there are
 * services that the table does not name, so that one it does not have may well be a service.
 */
export function unmetExpectation(
  table: CompiledTable,
  decision: Decision,
  required: readonly string[],
  own: string,
  isPartial: boolean,
): string | undefined {
  for (const name of isPartial ? [] : required) {
    if (name !== own && table.serviceByName(name) === NO_SERVICE) {
      return `the request requires ${shortened(name)}, and the table has no such service`;
    }
  }
  if (!required.includes(decision.service) || !leavesToBaseline(decision)) return undefined;
  return `the request requires ${decision.service} to be answered by its sandbox, and the baseline would (${decision.reason})`;
}

/** A name that nobody has may be as long as a head, and the answer repeats it. */
function shortened(name: string): string {
  return name.length > NAME_LENGTH_MAX ? `${name.slice(0, NAME_LENGTH_MAX)}…` : name;
}

/** Whether the sandbox that would serve the request wants nothing of its own left to the baseline. */
export function strictlyOwned(table: CompiledTable, decision: Decision, service: number, target: number): boolean {
  return target >= 0 && service !== NO_SERVICE && decision.reason !== "self" && table.strictFor(target, service);
}
