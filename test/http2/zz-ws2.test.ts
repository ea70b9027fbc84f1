import { randomBytes } from "node:crypto";
import { connect, createSecureServer } from "node:http2";
import { expect, onTestFinished, test } from "vitest";
import { PemFolder, makeAuthority } from "../support/certificates.ts";
import { startSidecar } from "../support/sidecar.ts";
import { send, responseOf } from "../support/http2-app.ts";
import { extendedConnectOf, openWebSocket, startHttp2WebSocketApp } from "../support/http2-websocket.ts";
import { echo } from "../support/websocket.ts";
const authority = await makeAuthority();
test.each(Array.from({length: 12}, (_, i) => i))("x %d", async () => {
  const app = await startHttp2WebSocketApp(echo);
  const folder = await PemFolder.make();
  const tls = await folder.putPair("tls", await authority.sign("checkout", { names: ["checkout"] }));
  const sidecar = await startSidecar({ listeners: [{ direction: "inbound", address: "127.0.0.1:0", target: app.name, tls }] });
  const session = connect(`https://127.0.0.1:${sidecar.port()}`, { ca: authority.certificate, servername: "checkout" });
  onTestFinished(() => session.destroy());
  session.on("goaway", (...a) => console.log("goaway", a));
  session.on("error", (e) => console.log("session error", e));
  session.on("close", () => console.log("session close"));
  const fetchIt = async () => {
    const stream = send(session);
    const events: string[] = [];
    for (const n of ["response", "data", "end", "close", "error", "aborted"]) { if (n!=="data") stream.on(n, () => events.push(n)); }
    await responseOf(stream);
    const before = events.slice();
    try { let s = ""; for await (const c of stream) s += String(c); return s; }
    catch (e) { console.log(String(e), "rst", stream.rstCode, "aborted", stream.aborted, "before", before, "events", events, session.closed, session.destroyed, stream.readableEnded, stream.readableLength, stream.sentHeaders[":path"]); throw e; }
  };
  await fetchIt();
  await extendedConnectOf(session);
  const clients = await Promise.all(Array.from({ length: 20 }, () => openWebSocket(session)));
  await Promise.all(clients.map(async (peer, n) => {
    for (let round = 0; round < 20; round++) {
      const bytes = randomBytes((n * 7919 + round * 104_729) % 40_000);
      peer.socket.send(bytes);
      expect(bytes.equals((await peer.message()) as Buffer)).toBe(true);
      if (round % 5 === 0) expect(await fetchIt()).toBe("hello");
    }
    peer.socket.close(4000 + n);
    await peer.closed();
  }));
});
