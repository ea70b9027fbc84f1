// A sidecar between raw HTTP/2 peers, and what its tests say often.
import { type Http2Backend, startHttp2Backend } from "./http2-backend.ts";
import type { SentField } from "./http2-hpack.ts";
import { Http2Peer, type PeerOptions } from "./http2-peer.ts";
import type { PeerStream } from "./http2-stream.ts";
import { type Sidecar, type SidecarOptions, startSidecar } from "./sidecar.ts";

/** The fields of a request. */
export function fieldsOf(method: string, path = "/", ...fields: readonly SentField[]): SentField[] {
  return [[":method", method], [":scheme", "http"], [":authority", "checkout"], [":path", path], ...fields];
}

export const get = (path = "/", ...fields: readonly SentField[]): SentField[] => fieldsOf("GET", path, ...fields);
export const post = (path = "/", ...fields: readonly SentField[]): SentField[] => fieldsOf("POST", path, ...fields);

/** The fields of a gRPC call. */
export const call = (path = "/shop.Checkout/Pay", ...fields: readonly SentField[]): SentField[] =>
  post(path, ["content-type", "application/grpc"], ["te", "trailers"], ...fields);

/** A raw client, the sidecar, and the raw app behind it. */
export interface Http2Trio {
  readonly client: Http2Peer;
  readonly sidecar: Sidecar;
  readonly backend: Http2Backend;
}

/** Starts all three; closed when the test is over. */
export async function startHttp2Trio(
  options: SidecarOptions = {},
  peers: { readonly client?: PeerOptions; readonly backend?: PeerOptions } = {},
): Promise<Http2Trio> {
  const backend = await startHttp2Backend(peers.backend);
  const sidecar = await startSidecar({ target: backend.name, ...options });
  return { client: await connectTo(sidecar, peers.client), sidecar, backend };
}

/** A raw client of a listener; closed when the test is over. */
export function connectTo(sidecar: Sidecar, options?: PeerOptions, listener = "inbound"): Promise<Http2Peer> {
  return Http2Peer.connect(sidecar.port(listener), options);
}

/** One request that has arrived: both ends of it. */
export interface Exchange {
  readonly asked: PeerStream;
  readonly got: PeerStream;
}

/** Sends a request and waits until the app has its head, on whichever connection. */
export async function exchange(
  { client, backend }: { readonly client: Http2Peer; readonly backend: Http2Backend },
  fields: readonly SentField[] = get(),
  options: { readonly endStream?: boolean } = { endStream: true },
): Promise<Exchange> {
  const got = backend.next();
  const asked = client.request(fields, options);
  return { asked, got: await got };
}
