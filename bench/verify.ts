// Before a proxy is measured: it routes as the others do. A proxy that is fast because it is wrong is no peer.

import { exchange } from "./load/exchange.ts";
import { backendBody, backendHeader, loadHeads, requestHead, routingCases, type Destination } from "./load/requests.ts";

/**
 * Sends every routing case through the proxy.
 *
 * @returns the bytes of one answer of the load, which are the same for both destinations.
 * @throws Error that names the case which went wrong.
 */
export async function verifyRouting(name: string, port: number): Promise<number> {
  for (const { baggage, goesTo } of routingCases) {
    const what = baggage === undefined ? "without baggage" : `with baggage: ${baggage}`;
    await expectDestination(`${name}: a request ${what}`, port, requestHead(baggage), goesTo);
  }
  const keyed = await expectDestination(`${name}: the load with the key`, port, loadHeads.sandbox, "sandbox");
  const plain = await expectDestination(`${name}: the load without the key`, port, loadHeads.baseline, "baseline");
  if (keyed !== plain) throw new Error(`${name}: answers of ${keyed} and ${plain} bytes, the same number is expected`);
  return keyed;
}

async function expectDestination(what: string, port: number, head: string, goesTo: Destination): Promise<number> {
  const answer = await exchange(port, head);
  if (answer.status !== 200) throw new Error(`${what}: status ${answer.status}, expected 200\n${answer.head}`);
  const value = new RegExp(`^${backendHeader}: *(\\w+)`, "im").exec(answer.head)?.[1];
  if (value !== goesTo) throw new Error(`${what}: went to ${value}, expected ${goesTo}`);
  if (answer.body !== backendBody(goesTo)) throw new Error(`${what}: the body changed on its way: ${answer.body}`);
  return answer.bytes;
}
