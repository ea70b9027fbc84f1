// gRPC apps behind sidecars, as calls between services pass them:
//
//   one   client -> inbound beside checkout -+-> baseline
//                                            +-> sandbox pr-7
//   two   client -> outbound of the caller -+-> inbound beside checkout       -> baseline
//                                           +-> inbound beside pr-7's copy    -> sandbox
import { Metadata } from "@grpc/grpc-js";
import { describe } from "vitest";
import { type GrpcApp, GrpcClient, startGrpcApp } from "./grpc.ts";
import { type Sidecar, type SidecarOptions, startSidecar } from "./sidecar.ts";

/** The key of the sandbox that has an app of its own. */
export const SANDBOX = "pr-7";

/** A client and all that its calls pass. */
export interface GrpcChain {
  readonly client: GrpcClient;
  /** The first sidecar, where the decision is made. */
  readonly first: Sidecar;
  readonly sidecars: readonly Sidecar[];
  readonly baseline: GrpcApp;
  readonly sandbox: GrpcApp;
}

const tenancy = { carriers: [{ baggage: "sidelane" }, { header: "x-sandbox" }] };

async function startOne(options: SidecarOptions): Promise<GrpcChain> {
  const [baseline, sandbox] = await startApps();
  const first = await startSidecar({
    target: baseline.name,
    table: { services: { checkout: {} }, sandboxes: { [SANDBOX]: { services: { checkout: [sandbox.name] } } } },
    tenancy,
    ...options,
  });
  return { client: new GrpcClient(first.port()), first, sidecars: [first], baseline, sandbox };
}

async function startTwo(options: SidecarOptions): Promise<GrpcChain> {
  const [baseline, sandbox] = await startApps();
  const table = { services: { checkout: {} } };
  const beside = await startSidecar({ target: baseline.name, table, tenancy, ...options });
  const copy = await startSidecar({ target: sandbox.name, table, tenancy, sandbox: SANDBOX, ...options });
  const first = await startSidecar({
    service: "shop",
    listeners: [{ direction: "outbound", address: "127.0.0.1:0" }],
    table: {
      services: { checkout: { baseline: [`127.0.0.1:${beside.port()}`] } },
      sandboxes: { [SANDBOX]: { services: { checkout: [`127.0.0.1:${copy.port()}`] } } },
    },
    tenancy,
    ...options,
  });
  return { client: new GrpcClient(first.port("outbound")), first, sidecars: [first, beside, copy], baseline, sandbox };
}

function startApps(): Promise<[GrpcApp, GrpcApp]> {
  return Promise.all([startGrpcApp("baseline"), startGrpcApp("sandbox")]);
}

/** Defines the same tests for one sidecar and for two in a row. */
export function describeChains(
  name: string,
  define: (start: (options?: SidecarOptions) => Promise<GrpcChain>) => void,
): void {
  describe(`${name}, through one sidecar`, () => {
    define((options = {}) => startOne(options));
  });
  describe(`${name}, through two`, () => {
    define((options = {}) => startTwo(options));
  });
}

/** Metadata with the key of the sandbox. */
export function inSandbox(): Metadata {
  const metadata = new Metadata();
  metadata.set("baggage", `user=ada,sidelane=${SANDBOX}`);
  return metadata;
}

/** Name of the only listener of a sidecar. */
export function listenerOf(sidecar: Sidecar): string {
  return [...sidecar.proxy.addresses.keys()][0] ?? "";
}
