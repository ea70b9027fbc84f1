// Control replicas as far as developers' machines see them, in this process: a store in memory that they share, and the API's way
// in. And a machine that connects, as `sidelane connect` runs it.
import type { ControlAccess } from "../../src/client/access.ts";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import type { ConnectEvent } from "../../src/cli/connect/events.ts";
import { parseLocalTargets } from "../../src/cli/connect/local-target.ts";
import { connectMachine } from "../../src/cli/connect/machine.ts";
import { silentLog } from "../../src/base/log.ts";
import type { Identity } from "../../src/control/auth.ts";
import type { ConnectOptions } from "../../src/control/connect/options.ts";
import { startConnections } from "../../src/control/connect/start-connections.ts";
import type { Connections } from "../../src/control/connect/start-connections.ts";
import type { AuditEntry, Resource } from "../../src/control/resource.ts";
import { ControlState } from "../../src/control/state.ts";
import { StoreUnavailableError } from "../../src/control/store/store.ts";
import type { Commit, CommitResult, Store } from "../../src/control/store/store.ts";
import { Writer } from "../../src/control/writer.ts";
import { eventually } from "./quiet.ts";

/** What the replicas of a test share. */
export class SharedStore {
  readonly states: ControlState[] = [];
  readonly alive = new Set<string>();
  readonly audit: Omit<AuditEntry, "revision">[] = [];
  down = false;
  #revision = 1;
  #resources = new Map<string, Resource>();

  constructor(resources: readonly Resource[]) {
    for (const one of resources) this.#resources.set(`${one.kind} ${one.name}`, one);
  }

  follow(): ControlState {
    const state = new ControlState();
    state.reset({ revision: this.#revision, resources: [...this.#resources.values()] });
    state.reachable(true, "");
    this.states.push(state);
    return state;
  }

  setDown(down: boolean): void {
    this.down = down;
    for (const state of this.states) state.reachable(!down, "the store is down");
  }

  commit(commit: Commit): Promise<CommitResult> {
    if (this.down) return Promise.reject(new StoreUnavailableError("the store is down"));
    if (commit.basedOn !== this.#revision) return Promise.resolve({ done: false });
    const revision = ++this.#revision;
    const puts = commit.puts.map((put): Resource => ({ ...put, meta: { ...put.meta, version: revision } }));
    for (const put of puts) this.#resources.set(`${put.kind} ${put.name}`, put);
    for (const { kind, name } of commit.deletes) this.#resources.delete(`${kind} ${name}`);
    this.audit.push(...commit.audit);
    for (const state of this.states) state.changed({ revision, puts, deletes: commit.deletes });
    return Promise.resolve({ done: true, revision, puts });
  }
}

/** A replica that runs. */
export interface TestReplica {
  readonly id: string;
  readonly url: string;
  readonly state: ControlState;
  readonly writer: Writer;
  readonly connections: Connections;
  /** Names whose token was taken back: those that are connected may not stay, and nobody comes in with it. */
  readonly revoked: Set<string>;
  /** All connections to its API break. */
  cut(): void;
  /** No new connections to its API. */
  stopListening(): void;
  listenAgain(): Promise<void>;
  /** As kill -9: nothing is said to anybody. */
  kill(): Promise<void>;
  close(withinMs?: number): Promise<void>;
}

let replicas = 0;
/** Ports of tests that run side by side must not be the same, nor those of `deadPort`. */
const firstPort = 12_000 + (Number(process.env["VITEST_POOL_ID"] ?? 0) % 20) * 200;

/** Starts one on any free port; closed when the test is over. */
export async function startReplica(store: SharedStore, options: Partial<ConnectOptions> = {}): Promise<TestReplica> {
  const id = `replica-${++replicas}`;
  const state = store.follow();
  const writer = new Writer(state, store as unknown as Store);
  store.alive.add(id);
  const connections = startConnections({
    state,
    writer,
    replica: id,
    isAlive: (replica) => store.alive.has(replica),
    host: "127.0.0.1",
    ports: { first: firstPort, last: firstPort + 199 },
    log: silentLog,
    sessionsMax: 50,
    graceMs: 30_000,
    sweepEveryMs: 20,
    ...options,
  });
  const revoked = new Set<string>();
  const sockets = new Set<{ destroy(): void }>();
  const server = createServer((_, response) => void response.writeHead(404).end());
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("upgrade", (request, socket, head) => {
    const identity = identify(request.headers.authorization);
    if (revoked.has(identity.name))
      return socket.end("HTTP/1.1 401 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    connections.upgrade(request, socket, head, identity, () => !revoked.has(identity.name));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const end = async (): Promise<void> => {
    store.alive.delete(id);
    for (const socket of sockets) socket.destroy();
    if (server.listening) await new Promise((resolve) => void server.close(resolve));
  };
  const { port } = server.address() as AddressInfo;
  const replica: TestReplica = {
    id,
    url: `http://127.0.0.1:${port}`,
    state,
    writer,
    connections,
    revoked,
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    stopListening() {
      server.close();
    },
    async listenAgain() {
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
    },
    async kill() {
      store.states.splice(store.states.indexOf(state), 1);
      await Promise.all([end(), connections.close(0)]);
    },
    async close(withinMs = 0) {
      await connections.close(withinMs);
      await end();
    },
  };
  onTestFinished(() => replica.close());
  return replica;
}

/** The token is the name; that of a viewer begins with `viewer`. */
function identify(authorization = "Bearer ada"): Identity {
  const name = authorization.replace(/^Bearer /u, "");
  return { name, role: name.startsWith("viewer") ? "viewer" : "editor", replica: false };
}

export interface MachineSettings {
  readonly sandbox?: string;
  readonly create?: boolean;
  readonly takeOver?: boolean;
  readonly token?: string;
  readonly keepAlive?: { readonly pingMs: number; readonly silenceMs: number };
}

/** A machine that connects. */
export class TestMachine {
  readonly events: ConnectEvent[] = [];
  readonly outcome: Promise<"left" | Error>;
  readonly #leave = new AbortController();

  constructor(urls: readonly string[], services: readonly string[], settings: MachineSettings) {
    const { sandbox = "pr-7", create = false, takeOver = false, token = "ada", keepAlive } = settings;
    const accesses = urls.map((url): ControlAccess => ({
      url,
      from: "--control",
      token,
      ca: undefined,
      certificate: undefined,
      certificateKey: undefined,
      next: undefined,
    }));
    this.outcome = connectMachine({
      accesses,
      sandbox,
      targets: parseLocalTargets(services),
      create,
      takeOver,
      machine: "laptop",
      report: (event) => void this.events.push(event),
      leave: this.#leave.signal,
      keepAlive,
    }).then(
      () => "left" as const,
      (error: unknown) => error as Error,
    );
  }

  /** As Ctrl-C; resolves when it has left. */
  leave(): Promise<"left" | Error> {
    this.#leave.abort();
    return this.outcome;
  }

  /** All events of a kind so far. */
  of<K extends ConnectEvent["event"]>(kind: K): readonly Extract<ConnectEvent, { event: K }>[] {
    return this.events.filter((one): one is Extract<ConnectEvent, { event: K }> => one.event === kind);
  }

  /** Resolves with the newest event of a kind when there are so many. */
  async told<K extends ConnectEvent["event"]>(kind: K, times = 1): Promise<Extract<ConnectEvent, { event: K }>> {
    const ended = this.outcome.then((outcome) =>
      Promise.reject(outcome instanceof Error ? outcome : new Error("left")),
    );
    ended.catch(() => {});
    await Promise.race([eventually(() => this.of(kind).length >= times), ended]);
    const found = this.of(kind).at(-1);
    if (found === undefined) throw new Error(`no event ${kind}`);
    return found;
  }

  /** Ports for sidecars, once connected. */
  async ports(times = 1): Promise<readonly number[]> {
    const { services } = await this.told("connected", times);
    return services.map(({ endpoint }) => Number(endpoint.slice(endpoint.lastIndexOf(":") + 1)));
  }
}

/** Connects a machine; it leaves when the test is over. */
export function startMachine(
  urls: readonly string[],
  services: readonly string[],
  settings: MachineSettings = {},
): TestMachine {
  const machine = new TestMachine(urls, services, settings);
  onTestFinished(async () => void (await machine.leave()));
  return machine;
}
