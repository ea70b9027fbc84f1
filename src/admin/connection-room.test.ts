import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, type Socket, connect } from "node:net";
import { connect as secureConnect } from "node:tls";
import { describe, expect, onTestFinished, test } from "vitest";
import { makeAuthority } from "../../test/support/certificates.ts";
import { ConnectionRoom } from "./connection-room.ts";

const authority = await makeAuthority("Room Authority");
const pair = await authority.sign("localhost");

/** A server for three connections; `hold` leaves a request without an answer until it is called. */
async function start(secure: boolean) {
  const waiting: (() => void)[] = [];
  const server = secure ? createSecureServer({ cert: pair.certificate, key: pair.key }) : createServer();
  const room = new ConnectionRoom(server, 3);
  server.on("request", (request, response) => {
    if (request.url === "/slow") waiting.push(() => response.end("slow"));
    else response.end("fast");
  });
  server.on("upgrade", (request, socket) => {
    room.hold(request.socket);
    socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n");
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const open = async (): Promise<Socket> => {
    const socket = secure
      ? secureConnect({ port, host: "127.0.0.1", servername: "localhost", ca: authority.certificate })
      : connect(port, "127.0.0.1");
    onTestFinished(() => void socket.destroy());
    socket.on("error", () => {});
    // Closed before it was open is an error of the client's.
    const opened = once(socket, secure ? "secureConnect" : "connect").catch(() => {});
    await Promise.race([opened, once(socket, "close").catch(() => {})]);
    return socket;
  };
  return { open, waiting };
}

async function ask(socket: Socket, path: string, more = ""): Promise<string> {
  socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\n${more}\r\n`);
  const [chunk] = (await Promise.race([once(socket, "data"), once(socket, "close").then(() => ["closed"])])) as [
    unknown,
  ];
  return String(chunk).split("\r\n", 1)[0] ?? "";
}

describe.each([
  ["plain", false],
  ["TLS", true],
])("%s", (_, secure) => {
  test("the connection that has waited longest makes room for the newest", async () => {
    const { open } = await start(secure);
    const [first, second] = [await open(), await open()];
    await open();
    // Now the second one has waited longest.
    expect(await ask(first, "/")).toBe("HTTP/1.1 200 OK");
    const closed = once(second, "close");
    const newest = await open();
    await closed;
    expect(await ask(newest, "/")).toBe("HTTP/1.1 200 OK");
    expect(await ask(first, "/")).toBe("HTTP/1.1 200 OK");
  });

  test("those that are answered are left alone, and when all are, the newest goes", async () => {
    const { open, waiting } = await start(secure);
    const upgraded = await open();
    expect(await ask(upgraded, "/", "connection: upgrade\r\nupgrade: x\r\n")).toBe("HTTP/1.1 101 Switching Protocols");
    const [first, second] = [await open(), await open()];
    const answers = [ask(first, "/slow"), ask(second, "/slow")];
    await expect.poll(() => waiting.length).toBe(2);
    const newest = await open();
    if (!newest.closed) await once(newest, "close");
    for (const answer of waiting) answer();
    expect(await Promise.all(answers)).toEqual(["HTTP/1.1 200 OK", "HTTP/1.1 200 OK"]);
    expect(upgraded.destroyed).toBe(false);
    // And there is room again.
    expect(await ask(await open(), "/")).toBe("HTTP/1.1 200 OK");
  });
});
