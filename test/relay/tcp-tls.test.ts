// Connections that are relayed as bytes, with TLS on either side of the sidecar, on both, or through it.
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { type ConnectionOptions, type TLSSocket, connect, createServer } from "node:tls";
import { expect, onTestFinished, test } from "vitest";
import { startBackend } from "../support/backend.ts";
import { PemFolder, makeAuthority } from "../support/certificates.ts";
import { Peer } from "../support/peer.ts";
import { eventually } from "../support/quiet.ts";
import { openConnections } from "../support/requests.ts";
import { type Sidecar, describeRelay, startSidecar } from "../support/sidecar.ts";
import { bodyBlocks } from "../support/stream.ts";

const MIB = 1024 * 1024;
const SAID = "welcome, and good bye";
const authority = await makeAuthority();
const ca = authority.certificate;
const pair = await authority.sign("checkout", { names: ["checkout"], addresses: ["127.0.0.1"] });

/** A server behind TLS; `accept` gives its connections one by one. */
async function startTlsBackend(): Promise<{ readonly name: string; accept(): Promise<Peer> }> {
  const server = createServer({ cert: pair.certificate, key: pair.key, allowHalfOpen: true });
  const sockets: TLSSocket[] = [];
  server.on("secureConnection", (socket) => sockets.push(socket));
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    name: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    accept: async () => {
      const [socket] = (await once(server, "secureConnection")) as [TLSSocket];
      return new Peer(socket);
    },
  };
}

async function connectTls(sidecar: Sidecar): Promise<Peer> {
  const options: ConnectionOptions = { host: "127.0.0.1", port: sidecar.port(), ca, servername: "checkout" };
  const socket = connect({ ...options, allowHalfOpen: true } as ConnectionOptions);
  onTestFinished(() => void socket.destroy());
  const peer = new Peer(socket);
  await once(socket, "secureConnect");
  return peer;
}

/** Bytes both ways, a large amount among them, and an end each way on its own. */
async function converse(client: Peer, server: Peer): Promise<string> {
  server.send("welcome");
  await client.until("welcome");
  let length = 0;
  for (const block of bodyBlocks(3 * MIB)) {
    client.send(block);
    length += block.length;
  }
  await server.untilBytes(length);
  client.finish();
  expect(await server.ended()).toBe("fin");
  server.send(", and good bye");
  server.finish();
  expect(await client.ended()).toBe("fin");
  return client.text;
}

describeRelay("TCP and TLS", (mode) => {
  test("the listener ends TLS: the endpoint gets what was inside", async () => {
    const backend = await startBackend();
    const tls = await (await PemFolder.make()).putPair("tls", pair);
    const listeners = [{ direction: "inbound", address: "127.0.0.1:0", target: backend.name, protocol: "tcp", tls }];
    const sidecar = await startSidecar({ ...mode, listeners });
    const client = await connectTls(sidecar);
    expect(await converse(client, await backend.accept())).toBe(SAID);
    await eventually(() => openConnections(sidecar) === 0);
  });

  test("the endpoint is connected to with TLS", async () => {
    const backend = await startTlsBackend();
    const upstreamTls = { checkout: { ca: await (await PemFolder.make()).put("ca.crt", ca) } };
    const listeners = [{ direction: "inbound", address: "127.0.0.1:0", target: backend.name, protocol: "tcp" }];
    const sidecar = await startSidecar({ ...mode, listeners, upstreamTls });
    const accepted = backend.accept();
    const client = await sidecar.connect();
    expect(await converse(client, await accepted)).toBe(SAID);
    await eventually(() => openConnections(sidecar) === 0);
  });

  test("a client that speaks TLS with the endpoint itself does so, and in one layer", async () => {
    const backend = await startTlsBackend();
    const upstreamTls = { checkout: { ca: await (await PemFolder.make()).put("ca.crt", ca) } };
    const sidecar = await startSidecar({ ...mode, target: backend.name, upstreamTls });
    const accepted = backend.accept();
    const client = await connectTls(sidecar);
    expect(await converse(client, await accepted)).toBe(SAID);
    await eventually(() => openConnections(sidecar) === 0);
  });

  test("an endpoint that is not who it should be gets no byte", async () => {
    const backend = await startTlsBackend();
    const other = await makeAuthority("Another Authority");
    const upstreamTls = { checkout: { ca: await (await PemFolder.make()).put("ca.crt", other.certificate) } };
    const listeners = [{ direction: "inbound", address: "127.0.0.1:0", target: backend.name, protocol: "tcp" }];
    const sidecar = await startSidecar({ ...mode, listeners, upstreamTls });
    const client = await sidecar.connect();
    client.send("for your eyes only");
    expect(await client.ended()).toBe("reset");
    const labels = { protocol: "tcp", reason: "upstream-tls-failed", code: "502" };
    await eventually(async () => (await sidecar.metric("sidelane_requests_total", labels)) === 1);
  });
});
