// Replicas of the control plane and sidecars as processes of their own, which can be killed, stopped and cut off, and callers that
// ask the sidecars all the time and know which answer is right.
//
// Long because replica, sidecar, forwarder and callers are of use only together.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { Agent, type RequestListener, createServer, request } from "node:http";
import { type AddressInfo, type Socket, connect, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { onTestFinished } from "vitest";

const main = join(import.meta.dirname, "..", "..", "src", "main.ts");

/** Where a process runs; absent: here. */
export interface Place {
  readonly address: string;
  readonly command: readonly string[];
}

/** What the API has answered. */
export interface Answered {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface Told {
  readonly event: string;
  readonly data: {
    readonly reached?: boolean;
    readonly message?: string;
    readonly status: { readonly conditions: readonly Condition[] };
  };
}

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

export async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "sidelane-world-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

let nextPort = 21_000 + (process.pid % 300) * 20;

/** A port that nobody has now. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = nextPort++;
    const server = createTcpServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!free) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

/** `condition` holds before the test's time is up. */
export async function until(what: string, condition: () => unknown, withinMs = 30_000): Promise<void> {
  const endMs = performance.now() + withinMs;
  for (;;) {
    if (await condition()) return;
    if (performance.now() > endMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await pause(25);
  }
}

/** A program of this project as a process. */
class Program {
  readonly #command: readonly string[];
  log = "";
  child: ChildProcess | undefined;

  constructor(command: readonly string[]) {
    this.#command = command;
    onTestFinished(async () => {
      if (process.env["SHOW_LOGS"] !== undefined) console.log(`${command.join(" ")}\n${this.log}`);
      await this.kill();
    });
  }

  protected async run(): Promise<void> {
    const [program = "", ...argv] = this.#command;
    const child = spawn(program, argv, { stdio: ["ignore", "ignore", "pipe"] });
    this.child = child;
    child.stderr.setEncoding("utf8").on("data", (text: string) => (this.log += text));
    child.once("exit", (code, signal) => (this.log += `ended with ${code ?? signal}\n`));
  }

  get pid(): number {
    return this.child?.pid ?? 0;
  }

  get ended(): boolean {
    const { child } = this;
    return child === undefined || child.exitCode !== null || child.signalCode !== null;
  }

  signal(name: NodeJS.Signals): void {
    this.child?.kill(name);
  }

  async kill(name: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const { child } = this;
    if (child === undefined || this.ended) return;
    const exited = once(child, "exit");
    child.kill(name);
    await exited;
  }

  /** Megabytes that it has in memory. */
  async residentMb(): Promise<number> {
    const text = await readFile(`/proc/${this.pid}/status`, "utf8");
    return Number(/^VmRSS:\s*(\d+)/mu.exec(text)?.[1] ?? 0) / 1024;
  }

  /** Seconds of processor time so far. */
  async cpuSeconds(): Promise<number> {
    const text = await readFile(`/proc/${this.pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }
}

/** One replica. */
export class ReplicaProcess extends Program {
  readonly api: string;
  readonly feed: string;

  constructor(command: readonly string[], api: string, feed: string) {
    super(command);
    this.api = api;
    this.feed = feed;
  }

  static async start(store: string, options: { place?: Place; more?: object } = {}): Promise<ReplicaProcess> {
    const { place, more = {} } = options;
    const path = await folder();
    const host = place?.address ?? "127.0.0.1";
    const api = `${host}:${await freePort()}`;
    const feed = `${host}:${await freePort()}`;
    const document = {
      store,
      api: { address: api },
      feed: { address: feed },
      advertise: `http://${api}`,
      auth: "none",
      connect: { host, ports: `${await freePort()}-${nextPort + 4}` },
      ...more,
    };
    nextPort += 5;
    await writeFile(join(path, "control.yaml"), JSON.stringify(document));
    const command = [process.execPath, main, "control", "--config", join(path, "control.yaml")];
    const replica = new ReplicaProcess([...(place?.command ?? []), ...command], api, feed);
    await replica.start();
    return replica;
  }

  async start(): Promise<void> {
    await this.run();
    await until("the replica answers", async () => {
      if (this.ended) throw new Error(`the replica ended: ${this.log}`);
      return (await this.ask("GET", "/ready")).status === 200;
    });
  }

  /** Status 0: no answer. */
  async ask(method: string, path: string, body?: object, withinMs = 15_000): Promise<Answered> {
    try {
      const response = await fetch(`http://${this.api}${path}`, {
        method,
        signal: AbortSignal.timeout(withinMs),
        ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
      });
      const text = await response.text();
      let parsed: Answered["body"] = { text };
      try {
        parsed = JSON.parse(text) as Answered["body"];
      } catch {
        // Not all answers are.
      }
      return { status: response.status, body: parsed };
    } catch (error) {
      return { status: 0, body: { error: String(error) } };
    }
  }

  /** As `ask`, where anything but success is an error of the test. */
  async send(method: string, path: string, body?: object): Promise<Answered["body"]> {
    const answer = await this.ask(method, path, body);
    if (answer.status < 200 || answer.status > 299) {
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
    return answer.body;
  }

  /** The last event of a wait, and all before it. */
  async wait(name: string, what: "ready" | "deleted", withinMs = 20_000): Promise<Told & { all: readonly Told[] }> {
    const path = `/v1/sandboxes/${name}/wait?for=${what}&withinMs=${withinMs}`;
    const response = await fetch(`http://${this.api}${path}`, { signal: AbortSignal.timeout(withinMs + 10_000) });
    const text = await response.text();
    const all = text.split("\n\n").flatMap((part): Told[] => {
      const event = /^event: *(.*)$/mu.exec(part)?.[1];
      const data = /^data: *(.*)$/mu.exec(part)?.[1];
      return event === undefined || data === undefined ? [] : [{ event, data: JSON.parse(data) as Told["data"] }];
    });
    const last = all.at(-1);
    if (last === undefined) throw new Error(`no event: ${text}`);
    return Object.assign({}, last, { all });
  }

  async metric(name: string): Promise<number> {
    const { body } = await this.ask("GET", "/metrics");
    return Number(new RegExp(`^${name} (.*)$`, "mu").exec(String(body["text"]))?.[1] ?? 0);
  }
}

/** A name for one address or another: sidecars know one `host:port`. Can be cut: nothing passes, nobody is told. */
export class Forwarder {
  readonly #server = createTcpServer((socket) => this.#forward(socket));
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #isCut = false;
  targets: readonly string[];

  constructor(targets: readonly string[]) {
    this.targets = targets;
  }

  static async start(...targets: readonly string[]): Promise<Forwarder> {
    const forwarder = new Forwarder(targets);
    forwarder.#server.listen(0, "127.0.0.1");
    await once(forwarder.#server, "listening");
    onTestFinished(() => {
      forwarder.drop();
      forwarder.#server.close();
    });
    return forwarder;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Connections that pass. */
  get connections(): number {
    return this.#pairs.size;
  }

  cut(): void {
    this.#isCut = true;
    for (const [a, b] of this.#pairs) for (const one of [a, b]) one.pause();
  }

  heal(): void {
    this.#isCut = false;
    for (const [a, b] of this.#pairs) for (const one of [a, b]) one.resume();
  }

  /** All break. */
  drop(): void {
    for (const [a, b] of this.#pairs) for (const one of [a, b]) one.destroy();
  }

  #forward(socket: Socket): void {
    const [target = "", ...others] = this.targets;
    this.#try(socket, target, others);
  }

  #try(socket: Socket, target: string, others: readonly string[]): void {
    const at = target.lastIndexOf(":");
    const upstream = connect({ host: target.slice(0, at), port: Number(target.slice(at + 1)) });
    let connected = false;
    const pair = [socket, upstream] as const;
    upstream.once("connect", () => {
      connected = true;
      this.#pairs.add(pair);
      if (this.#isCut) return this.cut();
    });
    const over = (): void => {
      this.#pairs.delete(pair);
      socket.destroy();
      upstream.destroy();
    };
    upstream.on("error", () => {
      const [next, ...rest] = others;
      if (!connected && next !== undefined) this.#try(socket, next, rest);
      else over();
    });
    socket.on("error", over);
    upstream.on("data", (bytes) => socket.write(bytes));
    socket.on("data", (bytes) => upstream.write(bytes));
    upstream.on("close", () => connected && over());
    socket.on("close", over);
    socket.pause();
    upstream.once("connect", () => this.#isCut || socket.resume());
  }
}

export interface SidecarOptions {
  readonly control: string;
  readonly target: string;
  readonly service?: string;
  readonly services?: readonly string[];
  readonly workers?: number;
  readonly keep?: string;
  readonly place?: Place;
  readonly more?: object;
}

/** `sidelane proxy`, with its callers. */
export class SidecarProcess extends Program {
  readonly port: number;
  readonly admin: string;
  readonly host: string;

  constructor(command: readonly string[], host: string, port: number, admin: string) {
    super(command);
    this.host = host;
    this.port = port;
    this.admin = admin;
  }

  static async start(options: SidecarOptions): Promise<SidecarProcess> {
    const sidecar = await SidecarProcess.prepare(options);
    await sidecar.start();
    return sidecar;
  }

  static async prepare(options: SidecarOptions): Promise<SidecarProcess> {
    const { control, target, service = "checkout", services, workers = 1, keep, place, more = {} } = options;
    const path = await folder();
    const host = place?.address ?? "127.0.0.1";
    const [port, admin] = [await freePort(), await freePort()];
    const document = {
      service,
      listeners: [
        { direction: "inbound", address: `${host}:${port}`, target },
        { direction: "outbound", address: "127.0.0.1:0" },
      ],
      table: {
        control,
        keep: keep ?? join(path, "kept.json"),
        ...(services === undefined ? {} : { services }),
      },
      admin: { address: `${host}:${admin}` },
      workers,
      ...more,
    };
    await writeFile(join(path, "sidelane.yaml"), JSON.stringify(document));
    const command = [process.execPath, main, "proxy", "--config", join(path, "sidelane.yaml")];
    return new SidecarProcess([...(place?.command ?? []), ...command], host, port, `${host}:${admin}`);
  }

  async start(): Promise<void> {
    await this.run();
    await until("the sidecar is ready", async () => {
      if (this.ended) throw new Error(`the sidecar ended: ${this.log}`);
      const response = await fetch(`http://${this.admin}/ready`).catch(() => undefined);
      await response?.text();
      return response?.status === 200;
    });
  }

  async table(): Promise<{ revision: number; digest: string; connected: boolean }> {
    const response = await fetch(`http://${this.admin}/table`);
    return (await response.json()) as never;
  }
}

/** An app that answers with its name. */
export async function startApp(name: string, answer?: RequestListener): Promise<string> {
  const server = createServer(answer ?? ((_request, response) => void response.end(name)));
  server.keepAliveTimeout = 60_000;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Asks sidecars all the time, and keeps what was wrong. */
export class Callers {
  readonly wrong: string[] = [];
  count = 0;
  longestMs = 0;
  #stopped = false;
  readonly #running: Promise<void>[] = [];
  readonly #agent = new Agent({ keepAlive: true });
  /** Key -> names that may answer. */
  readonly #right: () => ReadonlyMap<string, readonly string[]>;

  constructor(
    sidecars: readonly SidecarProcess[],
    right: () => ReadonlyMap<string, readonly string[]>,
    options: { each?: number; pauseMs?: number } = {},
  ) {
    this.#right = right;
    const { each = 1, pauseMs = 20 } = options;
    for (const sidecar of sidecars) {
      for (let i = 0; i < each; i++) this.#running.push(this.#call(sidecar, i, pauseMs));
    }
    onTestFinished(() => this.stop());
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
    this.#agent.destroy();
  }

  async #call(sidecar: SidecarProcess, at: number, pauseMs: number): Promise<void> {
    for (let i = at; !this.#stopped; i++) {
      const before = this.#right();
      const keys = [...before.keys()];
      const key = keys[i % Math.max(1, keys.length)];
      if (key !== undefined) {
        const startMs = performance.now();
        const said = await this.get(sidecar, key).catch((error: unknown) => `error ${String(error)}`);
        this.longestMs = Math.max(this.longestMs, performance.now() - startMs);
        this.count++;
        // What was right when it was sent, or is now.
        const right = [...(before.get(key) ?? []), ...(this.#right().get(key) ?? [])];
        if (!right.includes(said))
          this.wrong.push(`${new Date().toISOString()} ${key}: ${said}, not ${right.join("|")}`);
      }
      await pause(pauseMs);
    }
  }

  get(sidecar: SidecarProcess, key: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          host: sidecar.host,
          port: sidecar.port,
          agent: this.#agent,
          headers: { host: "checkout", ...(key === "" ? {} : { baggage: `sidelane=${key}` }) },
        },
        (response) => {
          let text = "";
          response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
          response.on("end", () => resolve(response.statusCode === 200 ? text : `${response.statusCode} ${text}`));
          response.on("error", reject);
        },
      );
      sent.setTimeout(10_000, () => sent.destroy(new Error("no answer in 10 s")));
      sent.on("error", reject);
      sent.end();
    });
  }
}
