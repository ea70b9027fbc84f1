// What flows for long, inside TLS on both sides: HTTP/2 streams that go both ways at once, and WebSocket.
import { once } from "node:events";
import { connect as connectHttp2, createSecureServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { type ClientOptions, WebSocket } from "ws";
import { PemFolder, makeAuthority } from "../support/certificates.ts";
import { type Sidecar, type SidecarOptions, describeRelay, startSidecar } from "../support/sidecar.ts";
import { bodyDigest, bodyStream, streamDigest } from "../support/stream.ts";
import { echo, startWebSocketApp } from "../support/websocket.ts";

const authority = await makeAuthority();
const ca = authority.certificate;
const pair = await authority.sign("checkout", { names: ["checkout"] });
const MIB = 1024 * 1024;

async function startTlsSidecar(target: string, options: SidecarOptions): Promise<Sidecar> {
  const folder = await PemFolder.make();
  const tls = await folder.putPair("tls", pair);
  return startSidecar({ listeners: [{ direction: "inbound", address: "127.0.0.1:0", target, tls }], ...options });
}

/** An HTTP/2 app that sends every body back while it comes. */
async function startEcho(): Promise<string> {
  const server = createSecureServer({ cert: pair.certificate, key: pair.key });
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 200 });
    stream.pipe(stream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describeRelay("streams inside TLS", (mode) => {
  test("HTTP/2: several bodies of megabytes, both ways at once, none changed", async () => {
    const folder = await PemFolder.make();
    const upstreamTls = { checkout: { ca: await folder.put("ca.crt", ca) } };
    const sidecar = await startTlsSidecar(await startEcho(), { upstreamTls, ...mode });
    const client = connectHttp2(`https://127.0.0.1:${sidecar.port()}`, { ca, servername: "checkout" });
    onTestFinished(() => client.destroy());
    const lengths = [4 * MIB, 3 * MIB + 1, 1, 0, 2 * MIB - 7];
    const echoed = await Promise.all(
      lengths.map((length) => {
        const stream = client.request({ ":method": "POST", ":path": "/" });
        bodyStream(length).pipe(stream);
        return streamDigest(stream);
      }),
    );
    expect(echoed).toEqual(lengths.map((length) => ({ digest: bodyDigest(length), length })));
  });

  test("WebSocket: messages of any size, and the closing code", async () => {
    const app = await startWebSocketApp(echo);
    const sidecar = await startTlsSidecar(app.name, mode);
    const socket = new WebSocket(`wss://127.0.0.1:${sidecar.port()}/`, { ca, servername: "checkout" } as ClientOptions);
    onTestFinished(() => socket.terminate());
    await once(socket, "open");
    for (const length of [0, 1, 125, 65_536, 2 * MIB]) {
      const message = Buffer.alloc(length, length % 251);
      socket.send(message);
      const [echoed] = (await once(socket, "message")) as [Buffer];
      expect(message.equals(echoed)).toBe(true);
    }
    socket.close(4001, "enough");
    expect((await once(socket, "close"))[0]).toBe(4001);
  });
});
