// Extended CONNECT (RFC 8441) between raw peers.
import { expect } from "vitest";
import { settingIds } from "./http2-frames.ts";
import type { SentField } from "./http2-hpack.ts";
import { type Exchange, type Http2Trio, exchange, fieldsOf, startHttp2Trio } from "./http2-sidecar.ts";
import type { SidecarOptions } from "./sidecar.ts";

/** The settings of a server that takes it. */
export const ANNOUNCED = [[settingIds.enableConnectProtocol, 1]] as const;

/** The fields of a request for a tunnel. */
export function tunnelTo(protocol = "websocket", ...fields: readonly SentField[]): SentField[] {
  return [...fieldsOf("CONNECT", "/chat"), [":protocol", protocol], ...fields];
}

/** A sidecar before an endpoint that takes extended CONNECT, and a client that may not know that yet. */
export function startTunnelTrio(options: SidecarOptions = {}): Promise<Http2Trio> {
  return startHttp2Trio(options, { backend: { settings: ANNOUNCED } });
}

/** A tunnel that its endpoint has agreed to. */
export async function openTunnel(
  trio: { readonly client: Http2Trio["client"]; readonly backend: Http2Trio["backend"] },
  fields: readonly SentField[] = tunnelTo(),
): Promise<Exchange> {
  const one = await exchange(trio, fields, {});
  one.got.head([[":status", "200"]]);
  expect((await one.asked.receivedHead()).status).toBe(200);
  return one;
}
