// Extended CONNECT (RFC 8441), frame by frame: who may send it, and what becomes of it. What follows once it is agreed to is in
// tunnels.test.ts, WebSocket with real peers in websocket.test.ts.
import { once } from "node:events";
import { type AddressInfo, type Socket, createServer } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { startHttp2Answering, startHttp2Backend } from "../support/http2-backend.ts";
import { codes, settingIds, types } from "../support/http2-frames.ts";
import type { SentField } from "../support/http2-hpack.ts";
import {
  type Exchange,
  type Http2Trio,
  connectTo,
  exchange,
  fieldsOf,
  get,
  startHttp2Trio,
} from "../support/http2-sidecar.ts";
import { ANNOUNCED, openTunnel, startTunnelTrio, tunnelTo } from "../support/http2-tunnel.ts";
import type { Http2Peer } from "../support/http2-peer.ts";
import type { PeerStream } from "../support/http2-stream.ts";
import { eventually } from "../support/quiet.ts";
import { deadPort, endpointState } from "../support/requests.ts";
import { type SidecarOptions, describeRelay, startSidecar } from "../support/sidecar.ts";

const announced = (client: Http2Peer): boolean => client.settings.get(settingIds.enableConnectProtocol) === 1;

/** What an answer of the sidecar's own says: status and reason. */
async function refusal(stream: PeerStream): Promise<string> {
  const head = await stream.receivedHead();
  await stream.received(Number(head.get("content-length")));
  expect(head.get("content-type")).toBe("application/problem+json");
  return `${head.status} ${(JSON.parse(stream.body) as { readonly reason: string }).reason}`;
}

/** Several tunnels at once. */
async function startTunnelsOf(trio: Http2Trio, count: number): Promise<Exchange[]> {
  const all: Exchange[] = [];
  for (let n = 0; n < count; n++) all.push(await openTunnel(trio));
  return all;
}

/** A server that hands out its sockets as they come; resolves with its name. */
async function startPlain(serve: (socket: Socket) => void): Promise<string> {
  const server = createServer((socket) => {
    socket.on("error", () => {}).resume();
    serve(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe("extended CONNECT is announced", () => {
  test("to clients that are there when an endpoint has announced it, and to later ones at once", async () => {
    const trio = await startTunnelTrio();
    const bystander = await connectTo(trio.sidecar);
    await bystander.settled();
    expect([announced(trio.client), announced(bystander)]).toEqual([false, false]);
    const { asked, got } = await exchange(trio);
    await bystander.until(() => announced(bystander) || undefined);
    await trio.client.until(() => announced(trio.client) || undefined);
    got.respond(204);
    await asked.complete();
    const later = await connectTo(trio.sidecar);
    const [first] = await later.until(() => (later.frames.length > 0 ? later.frames : undefined));
    expect([first?.type, announced(later)]).toEqual([types.settings, true]);
    // Once is enough.
    const next = await startTunnelsOf(trio, 3);
    for (const one of next) one.asked.reset();
    await bystander.settled();
    expect(bystander.frames.filter(({ type, flags }) => type === types.settings && flags === 0)).toHaveLength(2);
  });

  test("never, while no endpoint has", async () => {
    const trio = await startHttp2Trio();
    const { asked, got } = await exchange(trio);
    got.respond(204);
    await asked.complete();
    await trio.client.settled();
    const later = await connectTo(trio.sidecar);
    await later.settled();
    expect([announced(trio.client), announced(later)]).toEqual([false, false]);
  });

  test("when an endpoint announces it late", async () => {
    const trio = await startHttp2Trio();
    const { got } = await exchange(trio);
    await got.peer.settled();
    expect(announced(trio.client)).toBe(false);
    got.peer.configure(...ANNOUNCED);
    await trio.client.until(() => announced(trio.client) || undefined);
    expect((await openTunnel(trio)).got.peer).toBe(got.peer);
  });

  test("by the listener whose endpoint it is, and by no other", async () => {
    const app = await startHttp2Backend();
    const ledger = await startHttp2Backend({ settings: ANNOUNCED });
    const sidecar = await startSidecar({
      listeners: [
        { direction: "inbound", address: "127.0.0.1:0", target: app.name },
        { name: "outbound", direction: "outbound", address: "127.0.0.1:0" },
        { name: "another", direction: "outbound", address: "127.0.0.1:0" },
      ],
      table: { services: { checkout: {}, ledger: { baseline: [ledger.name] } } },
    });
    const inbound = await connectTo(sidecar);
    // The second one meets a connection whose settings have come already.
    for (const listener of ["outbound", "another"]) {
      const client = await connectTo(sidecar, {}, listener);
      const asked = client.request([...fieldsOf("GET").filter(([name]) => name !== ":authority"), ["host", "ledger"]]);
      (await ledger.next()).respond(204);
      await asked.complete();
      await client.until(() => announced(client) || undefined);
    }
    expect(ledger.connections).toHaveLength(1);
    (await exchange({ client: inbound, backend: app })).got.respond(204);
    await inbound.settled();
    expect(announced(inbound)).toBe(false);
  });
});

describeRelay("extended CONNECT", (mode) => {
  const start = (options: SidecarOptions = {}): Promise<Http2Trio> => startTunnelTrio({ ...mode, ...options });

  test.each(["websocket", "connect-udp", "x-ours"])("with :protocol %s arrives as it was sent", async (protocol) => {
    const trio = await start();
    const { asked, got } = await exchange(trio, tunnelTo(protocol, ["sec-websocket-version", "13"]), {});
    const [head] = got.heads;
    expect(head?.endStream).toBe(false);
    expect(head?.fields.filter(([name]) => name !== "via")).toEqual([
      [":method", "CONNECT"],
      [":scheme", "http"],
      [":authority", "checkout"],
      [":path", "/chat"],
      [":protocol", protocol],
      ["sec-websocket-version", "13"],
    ]);
    // Before the answer, which is the client's own risk.
    asked.data("early");
    await got.received(5);
    got.head([
      [":status", "200"],
      ["sec-websocket-protocol", "chat"],
    ]);
    got.data("hello");
    await asked.received(5);
    asked.data(" late");
    await got.received(10);
    expect([asked.heads[0]?.get("sec-websocket-protocol"), asked.body, got.body]).toEqual([
      "chat",
      "hello",
      "early late",
    ]);
  });

  test("waits for the endpoint's settings, of a client that does not wait for ours", async () => {
    const trio = await startHttp2Trio(mode, { backend: { preface: false } });
    const accepted = trio.backend.accept();
    const cancelled = trio.client.request(tunnelTo(), {});
    const asked = trio.client.request(tunnelTo(), {});
    asked.data("early");
    const peer = await accepted;
    // SETTINGS come first, before any acknowledgement.
    peer.acknowledges = false;
    cancelled.reset();
    await trio.client.settled();
    expect(trio.backend.untaken).toBe(0);
    peer.configure(...ANNOUNCED);
    const got = await trio.backend.next();
    await got.received(5);
    got.head([[":status", "200"]]);
    expect((await asked.receivedHead()).status).toBe(200);
    // Nobody hears of the one that was given up.
    expect(trio.backend.requests).toBe(1);
  });

  test("that is answered otherwise is a request like any other", async () => {
    const trio = await start();
    const refused = await exchange(trio, tunnelTo(), {});
    refused.got.respond(403, "not you", ["content-length", "7"]);
    refused.got.reset(codes.noError);
    const [{ status }, { body }] = await Promise.all([refused.asked.receivedHead(), refused.asked.complete()]);
    expect([status, body]).toEqual([403, "not you"]);
    expect(await refused.asked.wasReset()).toBe(codes.noError);
    const moved = await exchange(trio, tunnelTo(), {});
    moved.got.respond(307, "", ["location", "/elsewhere"]);
    expect((await moved.asked.complete()).heads[0]?.get("location")).toBe("/elsewhere");
    moved.asked.end();
    await moved.got.complete();
    await eventually(async () => (await trio.sidecar.metric("sidelane_active_requests")) === 0);
    expect(await trio.sidecar.metric("sidelane_requests_total", { code: "403", reason: "no-key" })).toBe(1);
    expect(await trio.sidecar.metric("sidelane_requests_total", { code: "307", reason: "no-key" })).toBe(1);
  });

  test("may be preceded by interim responses, and a length in its answer means nothing", async () => {
    const trio = await start();
    const { asked, got } = await exchange(trio, tunnelTo(), {});
    got.head([
      [":status", "103"],
      ["link", "</style.css>"],
    ]);
    got.head([
      [":status", "200"],
      ["content-length", "3"],
    ]);
    got.data("more than three");
    await asked.received(15);
    expect(asked.heads.map(({ status }) => status)).toEqual([103, 200]);
    expect(asked.heads[1]?.get("content-length")).toBeUndefined();
    got.end();
    asked.end();
    await Promise.all([asked.complete(), got.complete()]);
  });

  test("that its endpoint refuses unprocessed is sent again, with what came behind it", async () => {
    const trio = await start();
    const { asked, got } = await exchange(trio, tunnelTo(), {});
    asked.data("early");
    await got.received(5);
    const again = trio.backend.next();
    got.reset(codes.refusedStream);
    const second = await again;
    await second.received(5);
    second.head([[":status", "200"]]).data("ok");
    await asked.received(2);
    asked.data(" late");
    await second.received(10);
    expect([second.body, second.heads[0]?.get(":protocol")]).toEqual(["early late", "websocket"]);
    // By a GOAWAY, too: then on another connection.
    const third = await exchange(trio, tunnelTo(), {});
    third.got.peer.goaway(second.id);
    const elsewhere = await trio.backend.next();
    expect(elsewhere.peer).not.toBe(third.got.peer);
    elsewhere.head([[":status", "200"]]);
    expect((await third.asked.receivedHead()).status).toBe(200);
    // Those that run on the old connection go on.
    asked.data("!");
    await second.received(11);
  });

  test("finds room on a further connection when the endpoint allows no more streams", async () => {
    const settings = [...ANNOUNCED, [settingIds.maxConcurrentStreams, 2] as const];
    const trio = await startHttp2Trio(mode, { backend: { settings } });
    const all = await startTunnelsOf(trio, 5);
    expect(new Set(all.map(({ got }) => got.peer)).size).toBe(3);
    for (const [n, { asked, got }] of all.entries()) {
      asked.data(`${n}`);
      expect((await got.received(1)).body).toBe(`${n}`);
    }
    // A place that becomes free is taken again.
    all[0]?.asked.reset();
    await all[0]?.got.wasReset();
    await openTunnel(trio);
    expect(trio.backend.connections).toHaveLength(3);
  });

  test("that is not answered runs into timeouts.responseHeadMs, whatever is sent meanwhile", async () => {
    const trio = await start({ timeouts: { responseHeadMs: 200 } });
    const { asked, got } = await exchange(trio, tunnelTo(), {});
    const work = setInterval(() => {
      if (asked.heads.length === 0) asked.data(".");
    }, 20);
    onTestFinished(() => clearInterval(work));
    expect(await refusal(asked)).toBe("504 upstream-timeout");
    expect(await got.wasReset()).toBe(codes.cancel);
    expect(await asked.wasReset()).toBe(codes.noError);
  });

  test("to an endpoint that never tells its settings is answered in time", async () => {
    const app = await startPlain(() => {});
    const sidecar = await startSidecar({ ...mode, target: app, timeouts: { upstreamWaitMs: 200, connectMs: 200 } });
    const client = await connectTo(sidecar);
    const asked = [client.request(tunnelTo(), {}), client.request(tunnelTo(), {})];
    for (const stream of asked) expect(await refusal(stream)).toBe("503 upstream-unavailable");
    expect(await sidecar.metric("sidelane_active_requests")).toBe(0);
  });

  test("that was answered otherwise has the deadlines of a request", async () => {
    const trio = await start({ timeouts: { bodyMs: 300 } });
    const { asked, got } = await exchange(trio, tunnelTo(), {});
    got.respond(403, "not you");
    expect((await asked.complete()).body).toBe("not you");
    // The client does not end its side: it has no tunnel that it could be silent on.
    expect(await asked.wasReset()).toBe(codes.noError);
    await got.wasReset();
    expect(await trio.sidecar.metric("sidelane_requests_total", { code: "403", reason: "no-key" })).toBe(1);
  });
});

describe("extended CONNECT is refused", () => {
  test("with 501 by an endpoint that has not announced it, whose other requests go on", async () => {
    const trio = await startHttp2Trio();
    trio.backend.answer = (stream) => void stream.respond(200, "served");
    for (let n = 0; n < 2; n++) {
      const asked = trio.client.request(tunnelTo(), {});
      expect(await refusal(asked)).toBe("501 upgrade-unsupported");
      expect(await asked.wasReset()).toBe(codes.noError);
      expect((await trio.client.request(get()).complete()).body).toBe("served");
    }
    expect(trio.backend.connections).toHaveLength(1);
    const labels = { code: "501", reason: "upgrade-unsupported" };
    await eventually(async () => (await trio.sidecar.metric("sidelane_requests_total", labels)) === 2);
    expect(endpointState(trio.sidecar)).toMatchObject({ active: 0, outstanding: 0, ejectedMs: 0 });
  });

  test("with 501 by an endpoint that has come back without it", async () => {
    const trio = await startTunnelTrio();
    const { asked, got } = await openTunnel(trio);
    trio.backend.options = {};
    got.peer.abort();
    await asked.wasReset();
    expect(await refusal(trio.client.request(tunnelTo(), {}))).toBe("501 upgrade-unsupported");
    // And the other way round, once its old connection is gone.
    trio.backend.options = { settings: ANNOUNCED };
    trio.backend.connections.at(-1)?.abort();
    await eventually(() => (endpointState(trio.sidecar)?.idle ?? 0) === 0);
    await openTunnel(trio);
  });

  // A tunnel leaves only once the endpoint's settings are known: here they never are.
  test("by an endpoint that speaks HTTP/1 alone, as any request, with few connections", async () => {
    let connections = 0;
    const app = await startPlain((socket) => {
      connections++;
      socket.end("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
    });
    const client = await connectTo(await startSidecar({ target: app }));
    expect(await refusal(client.request(tunnelTo(), {}))).toBe("502 upstream-version-unsupported");
    expect(connections).toBeLessThan(10);
  });

  test("by an endpoint that accepts and closes, with few connections", async () => {
    let connections = 0;
    const app = await startPlain((socket) => {
      connections++;
      socket.end();
    });
    const client = await connectTo(await startSidecar({ target: app }));
    expect(await refusal(client.request(tunnelTo(), {}))).toMatch(/^50[23] upstream-/);
    expect(connections).toBeLessThan(10);
  });

  test("with 503 by an endpoint that is dead, and the connection stays", async () => {
    const live = await startHttp2Answering((stream) => void stream.respond(200, "served"), { settings: ANNOUNCED });
    const table = {
      services: { checkout: {} },
      sandboxes: { "pr-7": { services: { checkout: [`127.0.0.1:${await deadPort()}`] } } },
    };
    const sidecar = await startSidecar({ target: live.name, table });
    const client = await connectTo(sidecar);
    const keyed = client.request(tunnelTo("websocket", ["baggage", "sidelane=pr-7"]), {});
    expect(await refusal(keyed)).toBe("503 sandbox-unavailable");
    expect((await client.request(get()).complete()).body).toBe("served");
    const alone = await startSidecar({ target: `127.0.0.1:${await deadPort()}` });
    const other = await connectTo(alone);
    expect(await refusal(other.request(tunnelTo(), {}))).toBe("503 upstream-unavailable");
  });

  test.each<[string, SentField[], string]>([
    [
      "CONNECT without :protocol",
      [
        [":method", "CONNECT"],
        [":authority", "elsewhere:443"],
      ],
      "501",
    ],
    ["CONNECT with :protocol and without :path", tunnelTo().filter(([name]) => name !== ":path"), "400"],
    ["CONNECT with :protocol and without :scheme", tunnelTo().filter(([name]) => name !== ":scheme"), "400"],
    ["GET with :protocol", tunnelTo().with(0, [":method", "GET"]), "400"],
    ["two :protocol", [[":protocol", "websocket"], ...tunnelTo()], "400"],
  ])("as it always is: %s", async (_, fields, status) => {
    const trio = await startTunnelTrio();
    const asked = trio.client.request(fields, {});
    expect(await refusal(asked)).toMatch(new RegExp(`^${status} `));
    await asked.wasReset();
    expect(trio.backend.untaken).toBe(0);
    await openTunnel(trio);
  });
});
