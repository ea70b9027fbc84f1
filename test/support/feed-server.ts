// The control plane's end of the table feed in the hands of a test: says what the test says, and remembers what it is told.
import { EventEmitter, once } from "node:events";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { ServerDuplexStream, status } from "@grpc/grpc-js";
import { onTestFinished } from "vitest";
import { decodeFromSidecar, encodeFromControl } from "../../src/feed/codec.ts";
import { feedGroup, feedSandbox, feedService } from "../../src/feed/convert.ts";
import { FOLLOW_PATH } from "../../src/feed/messages.ts";
import type {
  Activity,
  AnswerBody,
  Applied,
  FromControl,
  FromSidecar,
  Hello,
  Update,
} from "../../src/feed/messages.ts";
import type { GroupDocument, SandboxDocument, ServiceDocument } from "../../src/routing/document.ts";

/** A part of a table, as people write it. */
export interface Parts {
  readonly services?: Readonly<Record<string, ServiceDocument>>;
  readonly sandboxes?: Readonly<Record<string, SandboxDocument>>;
  readonly groups?: Readonly<Record<string, GroupDocument>>;
}

/** A message that tells a change; everything left out is that of a delta in one part. */
export function update(revision: number, parts: Parts, changes: Partial<Update> = {}): Update {
  return {
    source: "history-1",
    whole: false,
    revision,
    last: true,
    services: Object.entries(parts.services ?? {}).map(([name, service]) => feedService(name, service)),
    sandboxes: Object.entries(parts.sandboxes ?? {}).map(([name, sandbox]) => feedSandbox(name, sandbox)),
    groups: Object.entries(parts.groups ?? {}).map(([name, group]) => feedGroup(name, group)),
    removedServices: [],
    removedSandboxes: [],
    removedGroups: [],
    ...changes,
  };
}

/** The same as a whole table. */
export function whole(revision: number, parts: Parts, changes: Partial<Update> = {}): Update {
  return update(revision, parts, { whole: true, ...changes });
}

type Call = ServerDuplexStream<Buffer, Buffer>;

/** One stream, seen from the control plane. */
export class FollowingSidecar {
  readonly hello: Hello;
  /** `authorization` of the call. */
  readonly authorization: string | undefined;
  readonly acks: Applied[] = [];
  readonly activities: Activity[] = [];
  readonly answers = new Map<number, AnswerBody>();
  saidGoodbye = false;
  ended = false;
  readonly #call: Call;
  readonly #events = new EventEmitter();

  constructor(call: Call, hello: Hello) {
    this.#call = call;
    this.hello = hello;
    const [authorization] = call.metadata.get("authorization");
    this.authorization = typeof authorization === "string" ? authorization : undefined;
    const end = (): void => {
      this.ended = true;
      this.#events.emit("news");
    };
    call.on("end", () => {
      end();
      call.end();
    });
    call.on("cancelled", end);
    call.on("close", end);
  }

  /** For the server. */
  took(message: FromSidecar): void {
    if (message.kind === "applied") this.acks.push(message.applied);
    else if (message.kind === "activity") this.activities.push(message.activity);
    else if (message.kind === "answer") this.answers.set(message.id, message.answer);
    else if (message.kind === "goodbye") {
      this.saidGoodbye = true;
      this.#call.end();
    }
    this.#events.emit("news");
  }

  send(...updates: readonly Update[]): void {
    for (const one of updates) this.say({ kind: "update", update: one });
  }

  say(message: FromControl): void {
    this.#call.write(encodeFromControl(message));
  }

  /** Bytes as they are. */
  sayBytes(bytes: Buffer): void {
    this.#call.write(bytes);
  }

  /** Ends the stream as a replica does that goes. */
  end(): void {
    this.#call.end();
  }

  /** Resolves with the acknowledgement of a revision. */
  async applied(revision: number): Promise<Applied> {
    for (;;) {
      const found = this.acks.find((ack) => ack.revision === revision);
      if (found !== undefined) return found;
      await this.news();
    }
  }

  /** Resolves once the condition holds. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.news();
  }

  async news(): Promise<void> {
    await once(this.#events, "news");
  }
}

/** What a server does differently. */
export interface FeedServerOptions {
  /** Default: any. */
  readonly port?: number;
  readonly credentials?: ServerCredentials;
  /** Told of each stream after its hello. */
  readonly onHello?: (sidecar: FollowingSidecar) => void;
}

/** A server of the feed. */
export class FeedServer {
  readonly port: number;
  /** All streams so far. */
  readonly streams: FollowingSidecar[] = [];
  /** Refuses each further stream with this status. */
  refuse: { readonly code: status; readonly details: string } | undefined = undefined;
  onHello: (sidecar: FollowingSidecar) => void;
  readonly #server: Server;
  readonly #events = new EventEmitter();
  #refused = 0;

  constructor(server: Server, port: number, onHello: (sidecar: FollowingSidecar) => void) {
    this.#server = server;
    this.port = port;
    this.onHello = onHello;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Streams that were refused so far. */
  get refused(): number {
    return this.#refused;
  }

  /** For the service. */
  follow(call: Call): void {
    call.on("error", () => {});
    if (this.refuse !== undefined) {
      this.#refused++;
      call.emit("error", this.refuse);
      this.#events.emit("stream");
      return;
    }
    let sidecar: FollowingSidecar | undefined;
    call.on("data", (bytes: Buffer) => {
      const message = decodeFromSidecar(bytes);
      if (sidecar !== undefined) return sidecar.took(message);
      if (message.kind !== "hello") throw new Error(`the first message is ${message.kind}`);
      sidecar = new FollowingSidecar(call, message.hello);
      this.streams.push(sidecar);
      this.onHello(sidecar);
      this.#events.emit("stream");
    });
  }

  /** Resolves with the stream number so and so, counted from 0. */
  async stream(index: number): Promise<FollowingSidecar> {
    for (;;) {
      const found = this.streams[index];
      if (found !== undefined) return found;
      await once(this.#events, "stream");
    }
  }

  async untilRefused(times: number): Promise<void> {
    while (this.#refused < times) await once(this.#events, "stream");
  }

  /** Ends it and all streams at once, as `kill -9` does. */
  kill(): void {
    this.#server.forceShutdown();
  }
}

/** Starts one; killed when the test is over. */
export async function startFeedServer(options: FeedServerOptions = {}): Promise<FeedServer> {
  const { port = 0, credentials = ServerCredentials.createInsecure(), onHello = () => {} } = options;
  const server = new Server();
  const asIs = (bytes: Buffer): Buffer => bytes;
  const made = Promise.withResolvers<FeedServer>();
  server.addService(
    {
      follow: {
        path: FOLLOW_PATH,
        requestStream: true,
        responseStream: true,
        requestSerialize: asIs,
        requestDeserialize: asIs,
        responseSerialize: asIs,
        responseDeserialize: asIs,
      },
    },
    { follow: (call: Call) => void made.promise.then((feed) => feed.follow(call)) },
  );
  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, credentials, (error, found) => (error ? reject(error) : resolve(found)));
  });
  const feed = new FeedServer(server, bound, onHello);
  made.resolve(feed);
  onTestFinished(() => server.forceShutdown());
  return feed;
}
