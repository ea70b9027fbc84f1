// Sidecars of the simulation: each with a connection of its own, as thousands of processes would have. They apply what they are told to
// a map and acknowledge it; compiling is measured elsewhere.

import { createHash } from "node:crypto";
import { connect } from "node:http2";
import { Client, type ClientDuplexStream, credentials } from "@grpc/grpc-js";
import { decodeFromControl, encodeFromSidecar } from "../../src/feed/codec.ts";
import { FOLLOW_PATH, type FeedSandbox, type Hello, type Update } from "../../src/feed/messages.ts";
import { Backoff } from "../../src/table/control/backoff.ts";
import { type FromClients, SOURCE, type ToClients } from "./messages.ts";
import { type Plan, scopeOf, serviceName, serviceOfSidecar } from "./plan.ts";

const asBuffer = (bytes: Buffer): Buffer => bytes;
const insecure = credentials.createInsecure();

class SimulatedSidecar {
  readonly index: number;
  connected = false;
  readonly #plan: Plan;
  readonly #address: string;
  readonly #sandboxes = new Map<string, FeedSandbox>();
  readonly #backoff = new Backoff();
  #client: Client | undefined;
  #revision: number;
  #askedMs: number | undefined;
  /** Revision of a whole table that has begun to come. */
  #wholeOf = 0;

  constructor(index: number, plan: Plan, address: string, revision: number) {
    this.index = index;
    this.#plan = plan;
    this.#address = address;
    this.#revision = revision;
    this.#connect();
  }

  digest(): string {
    const lines = Array.from(this.#sandboxes.values(), (sandbox) => JSON.stringify(sandbox)).toSorted();
    return createHash("sha256").update(lines.join("\n")).digest("hex");
  }

  #connect(): void {
    this.#client = new Client(this.#address, insecure, {
      "grpc.use_local_subchannel_pool": 1,
      "grpc.enable_channelz": 0,
      "grpc.max_receive_message_length": -1,
      "grpc.enable_retries": 0,
    });
    const stream = this.#client.makeBidiStreamRequest(FOLLOW_PATH, asBuffer, asBuffer);
    stream.on("data", (bytes: Buffer) => this.#take(stream, bytes));
    stream.on("error", () => {});
    stream.on("status", () => this.#disconnected());
    const hello = helloOf(`sidecar-${this.index}`, this.index, this.#plan, this.#revision);
    stream.write(encodeFromSidecar({ kind: "hello", hello }));
  }

  #disconnected(): void {
    this.connected = false;
    this.#client?.close();
    const afterMs = this.#askedMs === undefined ? this.#backoff.nextMs() : this.#backoff.askedMs(this.#askedMs);
    this.#askedMs = undefined;
    setTimeout(() => this.#connect(), afterMs);
  }

  #take(stream: ClientDuplexStream<Buffer, Buffer>, bytes: Buffer): void {
    const message = decodeFromControl(bytes);
    if (message.kind === "reconnect") this.#askedMs = message.afterMs;
    if (message.kind !== "update") return;
    this.connected = true;
    this.#backoff.reset();
    this.#apply(message.update);
    if (!message.update.last) return;
    this.#revision = message.update.revision;
    const applied = { revision: this.#revision, error: "", problems: [] };
    stream.write(encodeFromSidecar({ kind: "applied", applied }));
  }

  #apply({ whole, revision, last, sandboxes, removedSandboxes }: Update): void {
    if (whole && this.#wholeOf !== revision) this.#sandboxes.clear();
    this.#wholeOf = whole && !last ? revision : 0;
    for (const sandbox of sandboxes) this.#sandboxes.set(sandbox.name, sandbox);
    for (const name of removedSandboxes) this.#sandboxes.delete(name);
  }
}

function helloOf(instance: string, index: number, plan: Plan, revision: number): Hello {
  return {
    instance,
    service: serviceName(serviceOfSidecar(index, plan)),
    sandbox: "",
    host: `node-${index % 100}`,
    version: "bench",
    scope: scopeOf(index, plan),
    source: revision === 0 ? "" : SOURCE,
    revision,
    routes: true,
    probes: true,
  };
}

/** Says hello and never reads: HTTP/2 gives it 64 KiB. A client of grpc-js would take 16 messages all the same. */
function connectSilent(index: number, plan: Plan, address: string): void {
  const session = connect(`http://${address}`);
  session.on("error", () => {});
  const headers = { ":method": "POST", ":path": FOLLOW_PATH, "content-type": "application/grpc", te: "trailers" };
  const stream = session.request(headers);
  stream.on("error", () => {});
  const message = encodeFromSidecar({ kind: "hello", hello: helloOf(`slow-${index}`, index, plan, 0) });
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  stream.write(Buffer.concat([head, message]));
}

const sidecars = new Map<number, SimulatedSidecar>();
let cpu = process.cpuUsage();

process.on("message", (message: ToClients) => handle(message));
process.on("disconnect", () => process.exit(0));

function handle(message: ToClients): void {
  switch (message.kind) {
    case "start": {
      const { plan, address, revision } = message;
      for (const index of message.sidecars) sidecars.set(index, new SimulatedSidecar(index, plan, address, revision));
      return;
    }
    case "slow":
      for (const index of message.sidecars) connectSilent(index, message.plan, message.address);
      return;
    case "digests":
      return tell({ kind: "digests", digests: message.sidecars.map((index) => sidecars.get(index)?.digest() ?? "") });
    case "report": {
      const used = process.cpuUsage(cpu);
      cpu = process.cpuUsage();
      let connected = 0;
      for (const one of sidecars.values()) if (one.connected) connected++;
      const rssMib = process.memoryUsage.rss() / 2 ** 20;
      tell({ kind: "report", connected, cpuMs: (used.user + used.system) / 1000, rssMib });
    }
  }
}

function tell(message: FromClients): void {
  process.send?.(message);
}
