// Clients and servers that speak HTTP over TLS, Node's own: what they understand of it owes nothing to ours.
import { once } from "node:events";
import { constants as http2Constants, connect as connectHttp2, createSecureServer } from "node:http2";
import { Agent, createServer as createHttpsServer, request } from "node:https";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { ConnectionOptions, TLSSocket, TlsOptions } from "node:tls";
import { onTestFinished } from "vitest";
import type { KeyPair } from "./certificates.ts";

/** How a client connects; everything left out is what a careful client does. */
export interface TlsClientOptions extends ConnectionOptions {
  readonly port: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a client got. */
export interface TlsAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly alpn: string | false | null;
  /** The TLS session was resumed. */
  readonly reused: boolean;
  /** Common name of the server's certificate; undefined on resumed sessions, where none is shown. */
  readonly subject: string | undefined;
  /** For the next connection. */
  readonly session: Buffer | undefined;
}

/** One request over HTTP/1.1 on a connection of its own, which ends with it. */
export async function getHttps({ port, headers = {}, ...options }: TlsClientOptions): Promise<TlsAnswer> {
  const agent = new Agent({ keepAlive: false, maxCachedSessions: 0 });
  const sent = request({ host: "127.0.0.1", servername: "checkout", port, headers, agent, ...options });
  let session: Buffer | undefined;
  sent.on("socket", (socket) => socket.on("session", (one: Buffer) => (session = one)));
  sent.end();
  const [answer] = (await once(sent, "response")) as [IncomingMessage];
  const socket = answer.socket as TLSSocket;
  const facts = { alpn: socket.alpnProtocol, reused: socket.isSessionReused(), subject: commonName(socket) };
  answer.setEncoding("latin1");
  let body = "";
  for await (const chunk of answer) body += String(chunk);
  return { status: answer.statusCode ?? 0, headers: answer.headers, body, ...facts, session };
}

/** One request over HTTP/2. */
export async function getHttp2({ port, headers = {}, ...options }: TlsClientOptions): Promise<TlsAnswer> {
  const client = connectHttp2(`https://127.0.0.1:${port}`, { servername: "checkout", ...options });
  onTestFinished(() => client.destroy());
  let session: Buffer | undefined;
  await once(client, "connect");
  const socket = client.socket as TLSSocket;
  socket.on("session", (one: Buffer) => (session = one));
  const stream = client.request({ ":path": "/", ...headers });
  const [answer] = (await once(stream, "response")) as [Record<string, string>];
  let body = "";
  for await (const chunk of stream) body += String(chunk);
  const facts = { alpn: socket.alpnProtocol, reused: socket.isSessionReused(), subject: commonName(socket) };
  client.close();
  return { status: Number(answer[http2Constants.HTTP2_HEADER_STATUS]), headers: answer, body, ...facts, session };
}

function commonName(socket: TLSSocket): string | undefined {
  const name: unknown = socket.getPeerCertificate().subject?.CN;
  return typeof name === "string" ? name : undefined;
}

/** An app behind TLS that answers with what it is called, over the version that the client wants. */
export interface TlsApp {
  readonly name: string;
  readonly port: number;
  /** Server names that clients asked for, one for each connection. */
  readonly asked: unknown[];
  /** Whether sessions were resumed, one for each connection. */
  readonly reused: boolean[];
  /** Common names of clients' certificates, one for each connection. */
  readonly shown: unknown[];
}

/** Starts it; closed when the test is over. `options` win. */
export async function startTlsApp(answer: string, pair: KeyPair, options: TlsOptions = {}): Promise<TlsApp> {
  const respond = (incoming: { readonly httpVersion: string }, response: Pick<ServerResponse, "end">): void => {
    response.end(`${answer} over ${incoming.httpVersion}`);
  };
  const wanted = { cert: pair.certificate, key: pair.key, ...options };
  // A list of its own: the app speaks HTTP/1.1 alone.
  const server =
    options.ALPNProtocols !== undefined
      ? createHttpsServer(wanted, respond)
      : createSecureServer({ allowHTTP1: true, ...wanted }, (incoming, response) =>
          respond(incoming, response as never),
        );
  const asked: unknown[] = [];
  const reused: boolean[] = [];
  const shown: unknown[] = [];
  const sockets = new Set<TLSSocket>();
  server.on("secureConnection", (socket: TLSSocket) => {
    sockets.add(socket);
    asked.push(socket.servername);
    reused.push(socket.isSessionReused());
    shown.push(socket.getPeerCertificate().subject?.CN);
  });
  server.on("tlsClientError", () => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { name: `127.0.0.1:${port}`, port, asked, reused, shown };
}
