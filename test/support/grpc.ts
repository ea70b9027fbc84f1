// A gRPC app on grpc-js and its clients. Messages are bytes, so that what arrives can be compared byte by byte. Knows
// nothing of sidecars.
import { createHash } from "node:crypto";
import {
  type CallOptions,
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type StatusObject,
  credentials,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { onTestFinished } from "vitest";
import type { HealthRequest, HealthResponse } from "../interop/definitions.ts";
import { methods as interop, service as interopService } from "../interop/definitions.ts";

const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;
const asIs = (bytes: Buffer): Buffer => bytes;

function method(name: string, requestStream: boolean, responseStream: boolean): ServiceDefinition[string] {
  return {
    path: `/test.Echo/${name}`,
    requestStream,
    responseStream,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
}

const echoService: ServiceDefinition = {
  /** The message comes back. With `x-fail` in the metadata it is the text of that status. */
  unary: method("Unary", false, false),
  /** Answered with the number of messages, their bytes and digest. */
  upload: method("Upload", true, false),
  /** "<count> <bytes>" is answered with so many messages of that size. */
  download: method("Download", false, true),
  /** Every message comes back. */
  chat: method("Chat", true, true),
  /** Never answered. */
  hang: method("Hang", false, false),
};

/** A call as its server sees it. */
export type ServedCall = ServerUnaryCall<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>;

/** How a call ended for its caller. */
export interface Outcome {
  readonly code: number;
  readonly details: string;
  readonly message: Buffer | undefined;
  readonly initial: Metadata;
  readonly trailing: Metadata;
}

/** A running app. */
export class GrpcApp {
  readonly id: string;
  readonly server: Server;
  port = 0;
  /** What `grpc.health.v1` says. */
  health: HealthResponse["status"] = "SERVING";
  /** Calls so far. */
  readonly served: ServedCall[] = [];
  #waiting: ((call: ServedCall) => void)[] = [];

  constructor(id: string) {
    this.id = id;
    this.server = new Server({ "grpc.max_receive_message_length": MESSAGE_BYTES_MAX });
    this.server.addService(echoService, {
      unary: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => this.#unary(call, done),
      upload: (call: ServerReadableStream<Buffer, Buffer>, done: sendUnaryData<Buffer>) => this.#upload(call, done),
      download: (call: ServerWritableStream<Buffer, Buffer>) => void this.#download(call),
      chat: (call: ServerDuplexStream<Buffer, Buffer>) => this.#chat(call),
      hang: (call: ServerUnaryCall<Buffer, Buffer>) => void this.#greet(call),
    });
    this.server.addService(interopService("grpc.health.v1.Health"), {
      Check: (_call: ServerUnaryCall<HealthRequest, HealthResponse>, done: sendUnaryData<HealthResponse>) =>
        done(null, { status: this.health }),
      Watch: (call: ServerWritableStream<HealthRequest, HealthResponse>) => void call.write({ status: this.health }),
    });
  }

  get name(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** The next call of `hang` or `chat`. */
  next(): Promise<ServedCall> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Says who answers, sends `x-echo-*` back with the head and returns `x-trail-*` for the trailers. */
  #greet(
    call:
      | ServerUnaryCall<Buffer, Buffer>
      | ServerWritableStream<Buffer, Buffer>
      | ServerDuplexStream<Buffer, Buffer>
      | ServerReadableStream<Buffer, Buffer>,
    wake = true,
  ): Metadata {
    const served = call as ServedCall;
    this.served.push(served);
    const head = new Metadata();
    const trailers = new Metadata();
    head.set("x-server", this.id);
    for (const name of Object.keys(call.metadata.getMap())) {
      const target = name.startsWith("x-echo-") ? head : name.startsWith("x-trail-") ? trailers : undefined;
      for (const value of call.metadata.get(name)) target?.add(name, value);
    }
    if (call.metadata.get("x-fail").length === 0) call.sendMetadata(head);
    if (wake) for (const waiting of this.#waiting.splice(0)) waiting(served);
    return trailers;
  }

  #unary(call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>): void {
    const trailers = this.#greet(call, false);
    const [code] = call.metadata.get("x-fail");
    if (code === undefined) done(null, call.request, trailers);
    else done({ code: Number(code), details: call.request.toString(), metadata: trailers });
  }

  #upload(call: ServerReadableStream<Buffer, Buffer>, done: sendUnaryData<Buffer>): void {
    const trailers = this.#greet(call);
    const hash = createHash("sha256");
    let count = 0;
    let bytes = 0;
    call.on("data", (message: Buffer) => {
      hash.update(message);
      count++;
      bytes += message.length;
    });
    call.on("end", () => done(null, Buffer.from(`${count} ${bytes} ${hash.digest("hex")}`), trailers));
  }

  async #download(call: ServerWritableStream<Buffer, Buffer>): Promise<void> {
    const trailers = this.#greet(call);
    const [count = 0, bytes = 0] = call.request.toString().split(" ").map(Number);
    for (let n = 0; n < count; n++) {
      if (!call.write(Buffer.alloc(bytes, n))) await new Promise((resolve) => call.once("drain", resolve));
    }
    call.end(trailers);
  }

  #chat(call: ServerDuplexStream<Buffer, Buffer>): void {
    const trailers = this.#greet(call);
    call.on("data", (message: Buffer) => call.write(message));
    call.on("end", () => call.end(trailers));
  }

  /** Takes no new calls and finishes those that run, as a server does that is being replaced. */
  shutDown(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.server.tryShutdown((error) => (error === undefined ? resolve() : reject(error)));
    });
  }
}

/** Starts an app; ended when the test is over. */
export async function startGrpcApp(id: string): Promise<GrpcApp> {
  const app = new GrpcApp(id);
  onTestFinished(() => app.server.forceShutdown());
  app.port = await new Promise<number>((resolve, reject) => {
    app.server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });
  return app;
}

/** What a call is made with. */
export interface CallExtras extends CallOptions {
  readonly metadata?: Metadata;
}

/** A client with a connection of its own. */
export class GrpcClient {
  readonly client: Client;

  /** @param ports where to connect: one after the other until one answers. */
  constructor(...ports: readonly number[]) {
    const options: ChannelOptions = {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.max_receive_message_length": MESSAGE_BYTES_MAX,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.min_reconnect_backoff_ms": 100,
    };
    const addresses = ports.map((port) => `127.0.0.1:${port}`).join(",");
    this.client = new Client(`ipv4:${addresses}`, credentials.createInsecure(), {
      ...options,
      "grpc.default_authority": "checkout",
    });
    onTestFinished(() => this.client.close());
  }

  /** A call with one message; never rejects. `path` may be any. */
  unary(message: Buffer | string, extras: CallExtras = {}, path = "/test.Echo/Unary"): Promise<Outcome> {
    return this.begin(message, extras, path).outcome;
  }

  /** The same, with the call in hand. */
  begin(
    message: Buffer | string,
    { metadata = new Metadata(), ...options }: CallExtras = {},
    path = "/test.Echo/Hang",
  ) {
    let answer: Buffer | undefined;
    const bytes = typeof message === "string" ? Buffer.from(message) : message;
    const call = this.client.makeUnaryRequest(path, asIs, asIs, bytes, metadata, options, (_error, response) => {
      answer = response;
    });
    return { call, outcome: outcomeOf(call, () => answer) };
  }

  /** A call that streams to the server. */
  upload({ metadata = new Metadata(), ...options }: CallExtras = {}) {
    let answer: Buffer | undefined;
    const call = this.client.makeClientStreamRequest(
      "/test.Echo/Upload",
      asIs,
      asIs,
      metadata,
      options,
      (_, response) => {
        answer = response;
      },
    );
    return { call, outcome: outcomeOf(call, () => answer) };
  }

  /** A call that streams to the client. */
  download(count: number, bytes: number, { metadata = new Metadata(), ...options }: CallExtras = {}) {
    const request = Buffer.from(`${count} ${bytes}`);
    const call = this.client.makeServerStreamRequest("/test.Echo/Download", asIs, asIs, request, metadata, options);
    return { call, messages: new Messages(call), outcome: outcomeOf(call) };
  }

  /** A call that streams both ways. */
  chat({ metadata = new Metadata(), ...options }: CallExtras = {}) {
    const call = this.client.makeBidiStreamRequest("/test.Echo/Chat", asIs, asIs, metadata, options);
    return { call, messages: new Messages(call), outcome: outcomeOf(call) };
  }

  /** What `grpc.health.v1.Health/Check` answers, or the code of its failure. */
  health(metadata = new Metadata()): Promise<string> {
    const { path, requestSerialize, responseDeserialize } = interop.healthCheck;
    return new Promise((resolve) => {
      this.client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        { service: "" },
        metadata,
        (error, answer) => resolve(error === null ? (answer?.status ?? "") : String(error.code)),
      );
    });
  }
}

/** What all kinds of calls have in common for their caller. */
interface AnyCall {
  on(event: "metadata", listener: (metadata: Metadata) => void): unknown;
  on(event: "status", listener: (status: StatusObject) => void): unknown;
  on(event: "error", listener: () => void): unknown;
}

function outcomeOf(call: AnyCall, message: () => Buffer | undefined = () => undefined): Promise<Outcome> {
  let initial = new Metadata();
  call.on("metadata", (metadata) => (initial = metadata));
  // `status` says the same, also for success.
  call.on("error", () => {});
  return new Promise((resolve) => {
    call.on("status", ({ code, details, metadata }) => {
      resolve({ code, details, message: message(), initial, trailing: metadata });
    });
  });
}

/** The messages of a call one by one. */
class Messages {
  readonly #messages: Buffer[] = [];
  #ended = false;
  #wake: (() => void)[] = [];

  constructor(call: ClientReadableStream<Buffer> | ClientDuplexStream<Buffer, Buffer>) {
    call.on("data", (message: Buffer) => {
      this.#messages.push(message);
      this.#awake();
    });
    call.on("end", () => this.#finish());
    call.on("error", () => this.#finish());
  }

  #finish(): void {
    this.#ended = true;
    this.#awake();
  }

  #awake(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** The next one; undefined when there are no more. */
  async next(): Promise<Buffer | undefined> {
    while (this.#messages.length === 0 && !this.#ended) await new Promise<void>((resolve) => this.#wake.push(resolve));
    return this.#messages.shift();
  }

  /** All that are still to come. */
  async rest(): Promise<Buffer[]> {
    const all: Buffer[] = [];
    for (let message = await this.next(); message !== undefined; message = await this.next()) all.push(message);
    return all;
  }
}

/** Metadata of these pairs; names that end with `-bin` take bytes. */
export function metadataOf(...pairs: readonly (readonly [name: string, value: string | Buffer])[]): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of pairs) metadata.add(name, value);
  return metadata;
}
