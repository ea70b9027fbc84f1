// A feed server on a real state, and sidecars on real gRPC connections, for the tests of this folder.

import {
  type ChannelOptions,
  Client,
  type ClientDuplexStream,
  Metadata,
  credentials,
  type ServiceError,
} from "@grpc/grpc-js";
import { connect } from "node:http2";
import { silentLog } from "../../base/log.ts";
import { decodeFromControl, encodeFromSidecar } from "../../feed/codec.ts";
import type { FeedParts } from "../../feed/convert.ts";
import {
  FOLLOW_PATH,
  type FeedGroup,
  type FeedSandbox,
  type FeedService,
  type FromControl,
  type FromSidecar,
  type Hello,
  type Scope,
  type Update,
} from "../../feed/messages.ts";
import type { Authority } from "../auth.ts";
import type { Resource, ResourceId } from "../resource.ts";
import { ControlState } from "../state.ts";
import { type FeedServer, type FeedServerOptions, startFeedServer } from "./server.ts";
import { Sidecars } from "./sidecars.ts";

export const everything: Scope = { services: [], names: false };
const asBuffer = (bytes: Buffer): Buffer => bytes;

const anybody: Authority = { identify: () => ({ name: "anonymous", role: "editor", replica: false }) };

/** A control plane without a store. */
export class TestControl {
  readonly state: ControlState;
  readonly sidecars: Sidecars;
  readonly server: FeedServer;
  readonly clients: TestSidecar[] = [];
  source = "test";

  constructor(state: ControlState, sidecars: Sidecars, server: FeedServer) {
    this.state = state;
    this.sidecars = sidecars;
    this.server = server;
  }

  static async start(
    options: Partial<FeedServerOptions> & { readonly goneAfterMs?: number } = {},
  ): Promise<TestControl> {
    const { goneAfterMs, ...others } = options;
    const state = new ControlState();
    state.reset({ revision: 1, resources: [] });
    state.reachable(true, "");
    const sidecars = new Sidecars("r1", goneAfterMs);
    let control: TestControl | undefined = undefined;
    const server = await startFeedServer({
      config: { address: "127.0.0.1:0" },
      state,
      source: () => control?.source ?? "test",
      sidecars,
      auth: anybody,
      log: silentLog,
      streamsMax: 1000,
      drainMs: 2000,
      ...others,
    });
    control = new TestControl(state, sidecars, server);
    return control;
  }

  /** Resolves soon after it holds; the test's own deadline is the limit. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise((resolve) => setImmediate(resolve));
  }

  /** One commit. Returns its revision. */
  commit(puts: readonly Resource[], deletes: readonly ResourceId[] = []): number {
    const revision = this.state.revision + 1;
    this.state.changed({ revision, puts, deletes });
    return revision;
  }

  /** A sidecar that has said hello. */
  follow(hello: Partial<Hello> = {}, options: SidecarOptions = {}): TestSidecar {
    const client = this.connect(options);
    client.hello(hello);
    return client;
  }

  connect(options: SidecarOptions = {}): TestSidecar {
    const client = new TestSidecar(this.server.address, options);
    this.clients.push(client);
    return client;
  }

  async close(): Promise<void> {
    for (const client of this.clients) client.close();
    await this.server.close();
    this.sidecars.close();
  }
}

export interface SidecarOptions {
  readonly bearer?: string;
  /** Whether updates are acknowledged as they come. Default true. */
  readonly acks?: boolean;
  readonly credentials?: ReturnType<typeof credentials.createInsecure>;
  readonly channel?: ChannelOptions;
}

/** Says hello, and never reads what comes: HTTP/2 gives it some 64 KiB. Returns how to take its connection away. */
export function startSilent(address: string, hello: Hello): () => void {
  const session = connect(`http://${address}`);
  session.on("error", () => {});
  const stream = session.request({
    ":method": "POST",
    ":path": FOLLOW_PATH,
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => {});
  const message = encodeFromSidecar({ kind: "hello", hello });
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  stream.write(Buffer.concat([head, message]));
  return () => session.destroy();
}

export const aHello: Hello = {
  instance: "silent",
  service: "checkout",
  sandbox: "",
  host: "host",
  version: "0",
  scope: everything,
  source: "",
  revision: 0,
  routes: true,
  probes: true,
};

let lastInstance = 0;

/** A sidecar that applies updates to maps. */
export class TestSidecar {
  readonly instance = `i${++lastInstance}`;
  readonly stream: ClientDuplexStream<Buffer, Buffer>;
  readonly services = new Map<string, FeedService>();
  readonly sandboxes = new Map<string, FeedSandbox>();
  readonly groups = new Map<string, FeedGroup>();
  readonly messages: FromControl[] = [];
  /** The table that it has whole. */
  source = "";
  revision = 0;
  ended: { readonly code: number; readonly details: string } | undefined = undefined;
  readonly #client: Client;
  readonly #acks: boolean;
  #parts: Update[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(address: string, options: SidecarOptions) {
    this.#acks = options.acks ?? true;
    this.#client = new Client(address, options.credentials ?? credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_channelz": 0,
      "grpc.max_receive_message_length": -1,
      ...options.channel,
    });
    const metadata = new Metadata();
    if (options.bearer !== undefined) metadata.set("authorization", `Bearer ${options.bearer}`);
    this.stream = this.#client.makeBidiStreamRequest(FOLLOW_PATH, asBuffer, asBuffer, metadata);
    this.stream.on("data", (bytes: Buffer) => this.#take(decodeFromControl(bytes)));
    this.stream.on("error", ({ code, details }: ServiceError) => this.#end(code, details));
    this.stream.on("status", ({ code, details }: ServiceError) => this.#end(code, details));
  }

  get parts(): FeedParts {
    return { services: this.services, sandboxes: this.sandboxes, groups: this.groups };
  }

  /** Updates so far, parts each. */
  get updates(): readonly Update[] {
    return this.messages.flatMap((message) => (message.kind === "update" ? [message.update] : []));
  }

  hello(about: Partial<Hello> = {}): void {
    const said = { ...aHello, instance: this.instance, ...about };
    this.source = said.source;
    this.revision = said.revision;
    this.send({ kind: "hello", hello: said });
  }

  /** Goes on from the table of another stream. */
  restore({ services, sandboxes, groups }: FeedParts): void {
    for (const [name, service] of services) this.services.set(name, service);
    for (const [name, sandbox] of sandboxes) this.sandboxes.set(name, sandbox);
    for (const [name, group] of groups) this.groups.set(name, group);
  }

  send(message: FromSidecar): void {
    this.stream.write(encodeFromSidecar(message));
  }

  /** Resolves as soon as it holds; the test's own deadline is the limit. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      await promise;
    }
  }

  async untilRevision(revision: number): Promise<void> {
    await this.until(() => this.revision >= revision);
  }

  async untilEnded(): Promise<{ readonly code: number; readonly details: string }> {
    await this.until(() => this.ended !== undefined);
    return this.ended ?? { code: -1, details: "" };
  }

  /** Takes the connection away, without a word. */
  close(): void {
    this.stream.cancel();
    this.#client.close();
  }

  #take(message: FromControl): void {
    this.messages.push(message);
    if (message.kind === "update") {
      this.#parts.push(message.update);
      if (message.update.last) this.#apply();
    }
    this.#wake();
  }

  #apply(): void {
    for (const [index, update] of this.#parts.entries()) {
      if (update.whole && index === 0) for (const map of [this.services, this.sandboxes, this.groups]) map.clear();
      for (const service of update.services) this.services.set(service.name, service);
      for (const sandbox of update.sandboxes) this.sandboxes.set(sandbox.name, sandbox);
      for (const group of update.groups) this.groups.set(group.name, group);
      for (const name of update.removedServices) this.services.delete(name);
      for (const name of update.removedSandboxes) this.sandboxes.delete(name);
      for (const name of update.removedGroups) this.groups.delete(name);
      this.source = update.source;
      this.revision = update.revision;
    }
    this.#parts = [];
    if (this.#acks) this.send({ kind: "applied", applied: { revision: this.revision, error: "", problems: [] } });
  }

  #end(code: number, details: string): void {
    this.ended ??= { code, details };
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
