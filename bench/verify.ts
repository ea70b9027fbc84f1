// Before a proxy is measured: it routes as the others do. A proxy that is fast because it is wrong is no peer.

import { exchange } from "./load/exchange.ts";
import {
  backendBody,
  backendHeader,
  loadHeads,
  requestHead,
  routingCases,
  sandboxBaggage,
  type Destination,
} from "./load/requests.ts";

/**
 * Sends every routing case through the proxy.
 *
 * @returns the bytes of one answer of the load, which are the same for both destinations.
 * @throws Error that names the case which went wrong.
 */
export async function verifyHttp1(name: string, port: number): Promise<number> {
  await eachRoutingCase(name, true, async (what, baggage, goesTo) => {
    await expectDestination(what, port, requestHead(baggage), goesTo);
  });
  const keyed = await expectDestination(`${name}: the load with the key`, port, loadHeads.sandbox, "sandbox");
  const plain = await expectDestination(`${name}: the load without the key`, port, loadHeads.baseline, "baseline");
  if (keyed !== plain) throw new Error(`${name}: answers of ${keyed} and ${plain} bytes, the same number is expected`);
  return keyed;
}

/**
 * Sends what `send` makes of every routing case; of a proxy without the rule only that its requests arrive where all go.
 *
 * @param send has to throw an Error that begins with `what` when the answer is not the expected one.
 */
export async function eachRoutingCase(
  name: string,
  hasRule: boolean,
  send: (what: string, baggage: string | undefined, goesTo: Destination) => Promise<void>,
): Promise<void> {
  const cases = hasRule ? routingCases : [{ baggage: sandboxBaggage, goesTo: "sandbox" } as const];
  for (const { baggage, goesTo } of cases) {
    const what = baggage === undefined ? "without baggage" : `with baggage: ${baggage}`;
    await send(`${name}: a request ${what}`, baggage, goesTo);
  }
}

/** @throws Error that says what came instead. */
export function expectSame(what: string, actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Error(`${what}: ${String(actual)}, expected ${String(expected)}`);
}

/** A backend pads its name, so that answers of both have the same length. */
export function markOf(destination: Destination): string {
  return destination.padEnd(8, "-");
}

async function expectDestination(what: string, port: number, head: string, goesTo: Destination): Promise<number> {
  const answer = await exchange(port, head);
  if (answer.status !== 200) throw new Error(`${what}: status ${answer.status}, expected 200\n${answer.head}`);
  const value = new RegExp(`^${backendHeader}: *(\\w+)`, "im").exec(answer.head)?.[1];
  if (value !== goesTo) throw new Error(`${what}: went to ${value}, expected ${goesTo}`);
  if (answer.body !== backendBody(goesTo)) throw new Error(`${what}: the body changed on its way: ${answer.body}`);
  return answer.bytes;
}
