// An app of a pod, as a process of its own: one port for each kind of protocol. Argument: its name, which is in every answer.
// `from` in an answer says who connected: 127.0.0.1 when it was the sidecar.
import { Server as GrpcServer, ServerCredentials } from "@grpc/grpc-js";
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { type IncomingMessage, createServer, request } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createServer as createTcpServer } from "node:net";
import { networkInterfaces } from "node:os";
import { text } from "node:stream/consumers";
import { WebSocketServer } from "ws";
import { ports } from "./pod-ports.ts";

const name = process.argv[2] ?? "app";
const fromOf = (address: string | undefined): string => (address ?? "").replace(/^::ffff:/u, "");

/** Asks another service and tells its answer: what an app does. */
function call(url: URL): Promise<string> {
  const [host, authority] = [url.searchParams.get("to"), url.searchParams.get("host")];
  return new Promise((resolve, reject) => {
    const port = Number(url.searchParams.get("port"));
    const baggage = url.searchParams.get("key");
    const headers = { host: authority ?? "", ...(baggage === null ? {} : { baggage: `sidelane=${baggage}` }) };
    const asked = request({ host: host ?? "", port, headers, agent: false, path: "/", timeout: 5000 });
    asked.on("response", (response: IncomingMessage) => void text(response).then(resolve, reject));
    asked.on("timeout", () => asked.destroy(new Error("no answer")));
    asked.on("error", reject);
    asked.end();
  });
}

async function answer(incoming: IncomingMessage): Promise<string | Buffer> {
  const url = new URL(incoming.url ?? "/", "http://app");
  if (url.pathname === "/big") return Buffer.alloc(Number(url.searchParams.get("bytes")), name);
  if (url.pathname === "/call") return call(url).catch((error: unknown) => `error ${String(error)}`);
  const hash = createHash("sha256");
  let length = 0;
  for await (const part of incoming as AsyncIterable<Buffer>) {
    length += part.length;
    hash.update(part);
  }
  return JSON.stringify({ name, from: fromOf(incoming.socket.remoteAddress), length, digest: hash.digest("hex") });
}

const http = createServer((incoming, response) => void answer(incoming).then((body) => response.end(body)));
new WebSocketServer({ server: http }).on("connection", (socket) => {
  socket.on("message", (data: Buffer, isBinary) => socket.send(isBinary ? data : `${name}: ${data.toString()}`));
});
http.listen(ports.http);

const h2 = createHttp2Server();
h2.on("request", (incoming, response) =>
  response.end(JSON.stringify({ name, from: fromOf(incoming.socket.remoteAddress) })),
);
h2.listen(ports.h2);

createServer((incoming, response) => {
  response.end(JSON.stringify({ name, from: fromOf(incoming.socket.remoteAddress) }));
}).listen(ports.excluded);

createTcpServer((socket) => {
  socket.on("error", () => socket.destroy());
  socket.write(`${name} for ${fromOf(socket.remoteAddress)}\n`);
  socket.pipe(socket);
}).listen(ports.tcp);

const udp = createSocket("udp4", (message, from) => udp.send(`${name} ${message.toString()}`, from.port, from.address));
udp.bind(ports.udp);

const grpc = new GrpcServer();
const bytes = (value: Buffer): Buffer => value;
grpc.register(
  "/test.Echo/Say",
  (asked: { readonly request: Buffer }, done: (error: null, value: Buffer) => void) =>
    done(null, Buffer.from(`${name}: ${asked.request.toString()}`)),
  bytes,
  bytes,
  "unary",
);
// grpc-js wants an address that there is.
const host = Object.values(networkInterfaces()).some((all) => all?.some(({ family }) => family === "IPv6"))
  ? "[::]"
  : "0.0.0.0";
grpc.bindAsync(`${host}:${ports.grpc}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
  process.send?.({ kind: "listening" });
});
