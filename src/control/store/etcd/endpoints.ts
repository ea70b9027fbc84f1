// The members of an etcd cluster, as one that answers: a call goes to the member that answered last; when that does not answer
// in time, to the next, until the time of the whole call is over.
//
// A member that is cut off, or has no leader, or stands still, looks alone as if it were slow. So each attempt has a deadline,
// asks for a leader (`hasleader`, etcd's client documentation), and a member that missed it is connected to anew: a connection
// that a partition has left behind would go on waiting long after the partition is over.

import { setTimeout as pause } from "node:timers/promises";
import { Client, credentials as grpcCredentials, Metadata, status } from "@grpc/grpc-js";
import type { ChannelCredentials, ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import { StoreUnavailableError, StoreUnusableError } from "../store.ts";
import { authenticate } from "./codec.ts";
import type { Method } from "./codec.ts";

/** How to introduce oneself to etcd. PEM texts. */
export interface EtcdCredentials {
  /** Of the servers' certificates; absent: those of the system. */
  readonly ca?: string | undefined;
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/** etcd has answered, with no: trying again or elsewhere changes nothing. */
export class EtcdRefusedError extends Error {
  override readonly name = "EtcdRefusedError";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

interface Member {
  readonly host: string;
  client: Client | undefined;
  readonly streams: Set<{ cancel(): void }>;
}

/** One attempt at one member. */
const ATTEMPT_MS = 1500;
/** Between attempts once around, so that members which refuse at once are not asked without end. */
const AROUND_MS = 200;

/** Codes by which a member says, or the client on its behalf, that another attempt may succeed. */
const passing = new Set([
  status.UNAVAILABLE,
  status.DEADLINE_EXCEEDED,
  status.CANCELLED,
  status.UNKNOWN,
  status.INTERNAL,
  status.ABORTED,
  status.DATA_LOSS,
]);

export class Endpoints {
  readonly #members: readonly Member[];
  readonly #channel: ChannelCredentials;
  readonly #credentials: EtcdCredentials;
  #current = 0;
  #token = "";
  #closed = false;

  constructor(hosts: readonly string[], tls: boolean, given: EtcdCredentials) {
    this.#members = hosts.map((host) => ({ host, client: undefined, streams: new Set() }));
    this.#credentials = given;
    this.#channel = tls ? channelCredentials(given) : grpcCredentials.createInsecure();
  }

  /** Throws `StoreUnavailableError` that names what was tried, or `EtcdRefusedError`. */
  async call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    withinMs: number,
  ): Promise<Response> {
    const endMs = performance.now() + withinMs;
    const bytes = method.encode(request);
    const problems = new Map<string, string>();
    for (let attempt = 1; ; attempt++) {
      const member = this.#member();
      const leftMs = endMs - performance.now();
      if (leftMs <= 0 || this.#closed) throw this.#unavailable(problems);
      try {
        return method.decode(await this.#authenticated(member, method.path, bytes, Math.min(ATTEMPT_MS, leftMs)));
      } catch (error) {
        // Whatever answers here, it is not etcd.
        if (!isServiceError(error)) throw new EtcdRefusedError(status.INTERNAL, `${member.host}: ${String(error)}`);
        if (!isPassing(error)) throw new EtcdRefusedError(error.code, error.details);
        // An attempt for which little time was left says less than the one before it.
        const cutShort = leftMs < ATTEMPT_MS && error.code === status.DEADLINE_EXCEEDED;
        if (!cutShort || !problems.has(member.host)) problems.set(member.host, why(error));
        this.#drop(member);
      }
      if (attempt % this.#members.length === 0)
        await pause(Math.min(AROUND_MS, Math.max(0, endMs - performance.now())));
    }
  }

  /** Opens a stream to the member that answered last. `ended` is called once, whoever ends it. */
  async stream<Request, Response>(
    method: Method<Request, Response>,
    received: (response: Response) => void,
    ended: (why: string) => void,
  ): Promise<{ send(request: Request): void; cancel(): void }> {
    if (this.#token === "") await this.#login(this.#member(), ATTEMPT_MS);
    if (this.#closed) throw this.#unavailable(new Map());
    const member = this.#member();
    const stream: ClientDuplexStream<Request, Response> = this.#client(member).makeBidiStreamRequest(
      method.path,
      method.encode,
      method.decode,
      this.#metadata(),
    );
    member.streams.add(stream);
    let over = false;
    const end = (reason: string): void => {
      if (over) return;
      over = true;
      member.streams.delete(stream);
      ended(`${member.host}: ${reason}`);
    };
    stream.on("data", received);
    stream.on("error", (error: ServiceError) => end(why(error)));
    stream.on("end", () => end("ended the stream"));
    return { send: (request) => void stream.write(request), cancel: () => stream.cancel() };
  }

  /** Streams and calls go to the next member from here on. */
  next(): void {
    this.#drop(this.#member());
  }

  close(): void {
    this.#closed = true;
    for (const member of this.#members) this.#disconnect(member);
  }

  async #authenticated(member: Member, path: string, bytes: Buffer, withinMs: number): Promise<Buffer> {
    const endMs = performance.now() + withinMs;
    if (this.#token === "") await this.#login(member, withinMs);
    try {
      return await this.#attempt(member, path, bytes, endMs - performance.now());
    } catch (error) {
      if (!isServiceError(error) || !isOldToken(error) || this.#credentials.username === undefined) throw error;
      this.#token = "";
      await this.#login(member, endMs - performance.now());
      return this.#attempt(member, path, bytes, endMs - performance.now());
    }
  }

  async #login(member: Member, withinMs: number): Promise<void> {
    const { username, password = "" } = this.#credentials;
    if (username === undefined) return;
    const login = authenticate.encode({ name: username, password });
    const token = authenticate.decode(await this.#attempt(member, authenticate.path, login, withinMs));
    this.#token = token;
  }

  #attempt(member: Member, path: string, bytes: Buffer, withinMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + Math.max(1, withinMs);
      this.#client(member).makeUnaryRequest(
        path,
        same,
        same,
        bytes,
        this.#metadata(),
        { deadline },
        (error, answer) => {
          if (error !== null) reject(error);
          else resolve(answer ?? Buffer.alloc(0));
        },
      );
    });
  }

  #metadata(): Metadata {
    const metadata = new Metadata();
    metadata.set("hasleader", "true");
    if (this.#token !== "") metadata.set("token", this.#token);
    return metadata;
  }

  #member(): Member {
    const member = this.#members[this.#current % this.#members.length];
    if (member === undefined) throw new Error("an etcd store has endpoints");
    return member;
  }

  #client(member: Member): Client {
    member.client ??= new Client(member.host, this.#channel, {
      // Answers are what this prefix holds, and a watch that catches up gets many revisions at once.
      "grpc.max_receive_message_length": -1,
      "grpc.max_send_message_length": -1,
      // A member that stands still answers no ping; etcd allows one each 5 s.
      "grpc.keepalive_time_ms": 10_000,
      "grpc.keepalive_timeout_ms": 3000,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 1000,
      "grpc.enable_http_proxy": 0,
      "grpc.service_config_disable_resolution": 1,
      // Each member has a connection of its own, which ends with its client.
      "grpc.use_local_subchannel_pool": 1,
    });
    return member.client;
  }

  #drop(member: Member): void {
    if (member === this.#member()) this.#current = (this.#current + 1) % this.#members.length;
    this.#disconnect(member);
  }

  #disconnect(member: Member): void {
    for (const stream of member.streams) stream.cancel();
    member.client?.close();
    member.client = undefined;
  }

  #unavailable(problems: ReadonlyMap<string, string>): StoreUnavailableError {
    if (this.#closed) return new StoreUnavailableError("the store is closed");
    const tried = [...problems].map(([host, problem]) => `${host}: ${problem}`).join("; ");
    return new StoreUnavailableError(tried === "" ? "no time was left to ask" : tried);
  }
}

function channelCredentials({ ca, certificate, key }: EtcdCredentials): ChannelCredentials {
  const bytes = (pem: string | undefined): Buffer | null => (pem === undefined ? null : Buffer.from(pem));
  try {
    return grpcCredentials.createSsl(bytes(ca), bytes(key), bytes(certificate));
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    throw new StoreUnusableError(`etcd.tls cannot be used: ${said}; ca, certificate and key are files in PEM format`);
  }
}

function same(bytes: Buffer): Buffer {
  return bytes;
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error;
}

function isPassing({ code, details }: ServiceError): boolean {
  // "too many requests" passes; a database that is full does not.
  return passing.has(code) || (code === status.RESOURCE_EXHAUSTED && details.includes("too many requests"));
}

function isOldToken({ code, details }: ServiceError): boolean {
  return code === status.UNAUTHENTICATED || details.includes("revision of auth store is old");
}

function why({ code, details }: ServiceError): string {
  if (code === status.DEADLINE_EXCEEDED) return "no answer in time";
  return details.replace(/ \d{4}-\d\d-\d\dT\S+/, "").replace(/^etcdserver: /, "etcd says: ");
}
