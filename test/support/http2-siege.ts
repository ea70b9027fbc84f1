// An attack on a sidecar: the hostile peer is the test's; beside it a neighbour asks all the time, and every one of its
// requests has to succeed.
import type { ClientHttp2Session } from "node:http2";
import { expect } from "vitest";
import { connectHttp2, fetchHttp2, startHelloApp } from "./http2-app.ts";
import type { Http2Peer, PeerOptions } from "./http2-peer.ts";
import { startHttp2Backend } from "./http2-backend.ts";
import { connectTo, get, post } from "./http2-sidecar.ts";
import type { PeerStream } from "./http2-stream.ts";
import { type Sidecar, type SidecarOptions, startSidecar } from "./sidecar.ts";

/** A real client that asks one thing after the other on a connection of its own. */
export class Neighbour {
  #stopped = false;
  readonly #served: Promise<number>;

  constructor(session: ClientHttp2Session) {
    this.#served = this.#ask(session);
    // Looked at by `stop`.
    this.#served.catch(() => {});
  }

  async #ask(session: ClientHttp2Session): Promise<number> {
    let served = 0;
    while (!this.#stopped || served < 3) {
      const { status, body } = await fetchHttp2(session);
      if (status !== 200 || body !== "hello") throw new Error(`the neighbour got ${status} ${body}`);
      served++;
    }
    return served;
  }

  /** Ends it; rejects when any of its requests failed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#served;
  }
}

/** A sidecar with an app, a neighbour and an attacker. */
export interface Siege {
  readonly sidecar: Sidecar;
  readonly attacker: Http2Peer;
  readonly neighbour: Neighbour;
}

/** Starts all of them; the attacker's peer expects nothing of the other side. */
export async function startSiege(options: SidecarOptions = {}, attacker?: PeerOptions): Promise<Siege> {
  const app = await startHelloApp();
  const sidecar = await startSidecar({ target: app.name, ...options });
  const neighbour = new Neighbour(await connectHttp2(sidecar.port()));
  const peer = await connectTo(sidecar, attacker);
  peer.strict = false;
  return { sidecar, attacker: peer, neighbour };
}

/** The attacker is sent away with ENHANCE_YOUR_CALM, that is counted, and the neighbour noticed nothing. */
export async function expectCalmed({ sidecar, attacker, neighbour }: Siege, kind: string): Promise<void> {
  expect(await attacker.goneAway()).toMatchObject({ code: 11 });
  await attacker.ended();
  expect(await sidecar.metric("sidelane_http2_abuse_total", { kind })).toBe(1);
  await neighbour.stop();
}

/** The same attack within the limits is none. */
export async function expectTolerated({ sidecar, attacker, neighbour }: Siege): Promise<void> {
  await attacker.settled();
  expect(attacker.goaways).toEqual([]);
  expect(await sidecar.metric("sidelane_http2_abuse_total")).toBe(0);
  await neighbour.stop();
}

/** A sidecar whose sandbox `x` is hostile: a request has arrived there, and the neighbour asks the baseline. */
export interface EndpointSiege {
  readonly sidecar: Sidecar;
  readonly neighbour: Neighbour;
  /** The client of the hostile endpoint, and its request. */
  readonly client: Http2Peer;
  readonly asked: PeerStream;
  /** The hostile endpoint's end of it. */
  readonly got: PeerStream;
  readonly hostile: Http2Peer;
}

/** Starts one; the request is a POST whose body is open. */
export async function startEndpointSiege(
  options: SidecarOptions = {},
  endpoint: PeerOptions = {},
): Promise<EndpointSiege> {
  const app = await startHelloApp();
  const backend = await startHttp2Backend(endpoint);
  const sidecar = await startSidecar({
    target: app.name,
    table: { services: { checkout: {} }, sandboxes: { x: { services: { checkout: [backend.name] } } } },
    ...options,
  });
  const neighbour = new Neighbour(await connectHttp2(sidecar.port()));
  const client = await connectTo(sidecar);
  const asked = client.request(post("/", ["baggage", "sidelane=x"]), {});
  const got = await backend.next();
  got.peer.strict = false;
  return { sidecar, neighbour, client, asked, got, hostile: got.peer };
}

/** The endpoint's connection is ended for it, its client gets no whole answer, and everybody else notices nothing. */
export async function expectEndpointCalmed(siege: EndpointSiege, kind: string): Promise<void> {
  const { hostile, asked, client, sidecar, neighbour } = siege;
  expect(await hostile.goneAway()).toMatchObject({ code: 11 });
  await asked.over();
  expect(asked.resetCode !== undefined || asked.heads.at(-1)?.status === 502).toBe(true);
  expect(client.goaways).toEqual([]);
  expect((await client.request(get()).complete()).body).toBe("hello");
  expect(await sidecar.metric("sidelane_http2_abuse_total", { kind })).toBe(1);
  await neighbour.stop();
}

/** Does something so often, in batches between which the loop turns, until the other side has ended the connection. */
export async function flood(peer: Http2Peer, times: number, act: (n: number) => void): Promise<void> {
  for (let n = 0; n < times && peer.ending === undefined && peer.goaways.length === 0; n++) {
    act(n);
    if (n % 50 === 49) {
      await new Promise<void>((resolve) => {
        setImmediate(() => setImmediate(resolve));
      });
    }
  }
}
