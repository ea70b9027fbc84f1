// Two sidecars in a row, as a call between two services passes them:
//
//   client -> outbound of the caller -+-> inbound beside the baseline        -> tap -> server
//                                     +-> inbound beside the copy of pr-7    -> tap -> another server
import { onTestFinished } from "vitest";
import { type Sidecar, startSidecar } from "../support/sidecar.ts";
import { Tap } from "./tap.ts";

/** The key of the sandbox that has a server of its own. */
export const SANDBOX = "pr-7";

/** What a test sees of it. */
export interface Topology {
  /** Where the client calls. */
  readonly port: number;
  readonly caller: Sidecar;
  readonly baseline: Callee;
  readonly sandbox: Callee;
}

/** A server with its sidecar. */
export interface Callee {
  readonly sidecar: Sidecar;
  readonly tap: Tap;
}

/** Sets it up before two running servers; taken down when the test is over. */
export async function startTopology(baselinePort: number, sandboxPort: number): Promise<Topology> {
  const baseline = await startCallee(baselinePort, {});
  const sandbox = await startCallee(sandboxPort, { sandbox: SANDBOX });
  const caller = await startSidecar({
    service: "shop",
    listeners: [{ direction: "outbound", address: "127.0.0.1:0" }],
    table: {
      // A client that is told an address sends that as its authority.
      services: { interop: { hosts: ["127.0.0.1"], baseline: [addressOf(baseline)] } },
      sandboxes: { [SANDBOX]: { services: { interop: [addressOf(sandbox)] } } },
    },
  });
  return { port: caller.port("outbound"), caller, baseline, sandbox };
}

async function startCallee(serverPort: number, more: { readonly sandbox?: string }): Promise<Callee> {
  const tap = await startTap(serverPort);
  const table = { services: { interop: {} } };
  return { tap, sidecar: await startSidecar({ service: "interop", target: tap.name, table, ...more }) };
}

/** A tap before a server; closed when the test is over. */
export async function startTap(serverPort: number): Promise<Tap> {
  const tap = new Tap(serverPort);
  await tap.listen();
  onTestFinished(() => tap.close());
  return tap;
}

function addressOf(callee: Callee): string {
  return `127.0.0.1:${callee.sidecar.port()}`;
}
