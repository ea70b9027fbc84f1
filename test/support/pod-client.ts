// A client in a pod, as a process of its own: does what the test asks for.
import { Client, Metadata, credentials } from "@grpc/grpc-js";
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { type Socket, connect } from "node:net";
import { buffer, text } from "node:stream/consumers";
import { WebSocket } from "ws";

const ANSWER_MS = 10_000;
const held: Socket[] = [];

const authority = (host: string, port: number): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
const keyed = (key: string | undefined): Record<string, string> =>
  key === undefined ? {} : { baggage: `sidelane=${key}` };

interface HttpAsked {
  readonly path?: string;
  readonly key?: string;
  /** Of a body to send. */
  readonly bytes?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

const ops = {
  async http(host: string, port: number, { path = "/", key, bytes, headers = {} }: HttpAsked = {}) {
    const method = bytes === undefined ? "GET" : "POST";
    const asked = request({
      host,
      port,
      path,
      method,
      agent: false,
      headers: { ...headers, ...keyed(key) },
      timeout: ANSWER_MS,
    });
    asked.on("timeout", () => asked.destroy(new Error("no answer")));
    const answered = once(asked, "response");
    asked.end(bytes === undefined ? undefined : Buffer.alloc(bytes, "body"));
    const [response] = (await answered) as [IncomingMessage];
    const body = await buffer(response);
    const digest = createHash("sha256").update(body).digest("hex");
    return {
      status: response.statusCode,
      length: body.length,
      digest,
      text: body.length > 10_000 ? "" : body.toString(),
    };
  },
  async h2(host: string, port: number, key?: string) {
    const session = connectHttp2(`http://${authority(host, port)}`);
    const stream = session.request({
      // Node leaves the brackets of an address out.
      ":authority": authority(host, port),
      ":path": "/",
      ...keyed(key),
    });
    const failed = once(session, "error").then(([error]) => Promise.reject(error as Error));
    failed.catch(() => {});
    const said = await Promise.race([text(stream), failed]);
    session.close();
    return said;
  },
  grpc(host: string, port: number, said: string, key?: string) {
    const client = new Client(authority(host, port), credentials.createInsecure());
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(keyed(key))) metadata.set(name, value);
    const bytes = (value: Buffer): Buffer => value;
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + ANSWER_MS;
      client.makeUnaryRequest(
        "/test.Echo/Say",
        bytes,
        bytes,
        Buffer.from(said),
        metadata,
        { deadline },
        (error, value) => {
          client.close();
          if (error !== null) reject(error);
          else resolve(value?.toString());
        },
      );
    });
  },
  async websocket(host: string, port: number, said: string, key?: string) {
    const socket = new WebSocket(`ws://${authority(host, port)}/`, { headers: keyed(key) });
    await once(socket, "open");
    socket.send(said);
    const [data] = (await once(socket, "message")) as [Buffer];
    socket.terminate();
    return data.toString();
  },
  /** Connects without a word; what the server says first. */
  async greeting(host: string, port: number) {
    const socket = connect({ host, port });
    socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error("no greeting")));
    const [data] = (await once(socket, "data")) as [Buffer];
    socket.destroy();
    return data.toString();
  },
  /** As `greeting`, and stays connected; the answer is what `say` takes. */
  async hold(host: string, port: number) {
    const socket = connect({ host, port });
    await once(socket, "data");
    socket.on("error", () => {});
    return held.push(socket) - 1;
  },
  async say(at: number, said: string) {
    const socket = held[at];
    if (socket === undefined || socket.destroyed || !socket.writable) return "closed";
    const answered = Promise.race([once(socket, "data"), once(socket, "close").then(() => ["closed"])]);
    socket.write(said);
    return String((await answered)[0]);
  },
  async udp(host: string, port: number, said: string) {
    const socket = createSocket("udp4");
    socket.send(said, port, host);
    const [message] = (await once(socket, "message", { signal: AbortSignal.timeout(ANSWER_MS) })) as [Buffer];
    socket.close();
    return message.toString();
  },
};

process.on(
  "message",
  ({ id, op, args }: { readonly id: number; readonly op: keyof typeof ops; readonly args: unknown[] }) => {
    const run = ops[op] as (...given: unknown[]) => Promise<unknown>;
    run(...args).then(
      (value) => process.send?.({ id, value }),
      (error: unknown) => {
        const { code, message } = error as NodeJS.ErrnoException;
        process.send?.({ id, error: `${code ?? ""} ${message}` });
      },
    );
  },
);
process.send?.({ kind: "ready" });
