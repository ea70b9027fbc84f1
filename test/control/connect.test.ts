// `sidelane connect` as a developer runs it: a control plane, a sidecar and the command, each a process of its own.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, expect, onTestFinished, test } from "vitest";
import type { ConnectEvent } from "../../src/cli/connect/events.ts";
import { mainFile, startRole } from "../support/command-line.ts";
import { startApp } from "../support/control-plane.ts";
import { GrpcClient, metadataOf, startGrpcApp } from "../support/grpc.ts";
import { eventually } from "../support/quiet.ts";
import { deadPort } from "../support/requests.ts";
import { connectWebSocket, echo, startWebSocketApp } from "../support/websocket.ts";

/** A control plane with the services of a shop; its files and addresses stay when it is killed. */
class World {
  readonly #folder: string;
  readonly #config: object;
  readonly #ending: (() => unknown)[] = [];
  #kill: () => Promise<unknown> = () => Promise.resolve();
  readonly api: string;
  readonly feed: string;

  private constructor(folder: string, api: string, feed: string) {
    this.#folder = folder;
    this.api = api;
    this.feed = feed;
    this.#config = {
      store: `file:${folder}/store`,
      api: { address: api },
      feed: { address: feed },
      connect: { host: "127.0.0.1", ports: "17000-17499" },
      auth: { tokens: "tokens.yaml" },
    };
  }

  static async start(): Promise<World> {
    const folder = await mkdtemp(join(tmpdir(), "sidelane-connect-"));
    const world = new World(folder, `127.0.0.1:${await deadPort()}`, `127.0.0.1:${await deadPort()}`);
    onTestFinished(async () => {
      await world.kill();
      for (const end of world.#ending) await end();
      await rm(folder, { recursive: true });
    });
    const token = (name: string, role: string): object => ({ name, role, token: `${name}-${"x".repeat(32)}` });
    const tokens = [token("ada", "editor"), token("vera", "viewer"), token("side", "sidecar")];
    await writeFile(join(folder, "tokens.yaml"), JSON.stringify(tokens));
    await writeFile(join(folder, "side.token"), `side-${"x".repeat(32)}`);
    await writeFile(join(folder, "control.yaml"), JSON.stringify(world.#config));
    await world.startControl();
    for (const name of ["checkout", "ledger"]) {
      const answer = await fetch(`http://${world.api}/v1/services`, {
        method: "POST",
        headers: { authorization: `Bearer ada-${"x".repeat(32)}`, "content-type": "application/json" },
        body: JSON.stringify({ name }),
      });
      if (answer.status !== 201) throw new Error(await answer.text());
    }
    return world;
  }

  async startControl(): Promise<void> {
    const ending: (() => Promise<unknown>)[] = [];
    await startRole(["control", "--config", join(this.#folder, "control.yaml")], ending);
    this.#kill = () => Promise.all(ending.map((end) => end()));
  }

  /** As kill -9. */
  kill(): Promise<unknown> {
    return this.#kill();
  }

  /** The port of a sidecar's inbound listener. */
  async sidecar(service: string, target: string): Promise<number> {
    const file = join(this.#folder, `${service}.yaml`);
    const config = {
      service,
      listeners: [{ name: "inbound", direction: "inbound", address: "127.0.0.1:0", target }],
      table: { control: this.feed, keep: join(this.#folder, `${service}.json`), tokenFile: "side.token" },
      admin: { address: "127.0.0.1:0" },
    };
    await writeFile(file, JSON.stringify(config));
    const { inbound = "" } = await startRole(["proxy", "--config", file], this.#ending);
    return Number(inbound.slice(inbound.lastIndexOf(":") + 1));
  }

  connect(...argv: readonly string[]): Command {
    return this.connectAs("ada", ...argv);
  }

  connectAs(name: string, ...argv: readonly string[]): Command {
    const command = new Command(["--control", `http://${this.api}`, ...argv], `${name}-${"x".repeat(32)}`);
    this.#ending.push(() => command.kill());
    return command;
  }
}

/** A running `sidelane connect -o json`. */
class Command {
  readonly child: ChildProcess;
  readonly events: ConnectEvent[] = [];
  readonly exit: Promise<number | null>;
  err = "";

  constructor(argv: readonly string[], token: string) {
    const env = { ...process.env, SIDELANE_TOKEN: token, NO_COLOR: "1" };
    const words = [mainFile, "connect", "-o", "json", ...argv];
    const child = spawn(process.execPath, words, { env, stdio: ["ignore", "pipe", "pipe"] });
    this.child = child;
    createInterface({ input: child.stdout }).on("line", (text) => this.events.push(JSON.parse(text) as ConnectEvent));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (this.err += text));
    this.exit = once(child, "close").then(() => child.exitCode);
  }

  async told(kind: ConnectEvent["event"], times = 1): Promise<void> {
    const found = (): number => this.events.filter(({ event }) => event === kind).length;
    const ended = this.exit.then((code) => Promise.reject(new Error(`ended with ${code}: ${this.err}`)));
    ended.catch(() => {});
    await Promise.race([eventually(() => found() >= times), ended]);
  }

  interrupt(): Promise<number | null> {
    this.child.kill("SIGINT");
    return this.exit;
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.exit;
  }
}

async function ask(port: number, key = ""): Promise<string> {
  const headers = key === "" ? {} : { baggage: `sidelane=${key}` };
  const answer = await fetch(`http://127.0.0.1:${port}/`, { headers });
  return `${answer.status} ${answer.status === 200 ? await answer.text() : ""}`.trim();
}

describe("sidelane connect", () => {
  test("requests with the key reach this machine until Ctrl-C, and others never", async () => {
    const world = await World.start();
    const baseline = await startApp((_, response) => void response.end("baseline"));
    const local = await startApp((_, response) => void response.end("laptop"));
    const port = await world.sidecar("checkout", baseline);
    const command = world.connect("--sandbox", "mine", "--create", "--service", `checkout=${local}`);
    await command.told("ready");
    expect(command.events.find(({ event }) => event === "connected")).toMatchObject({
      as: "ada",
      sandbox: "mine",
      key: "mine",
      temporary: true,
    });
    expect([await ask(port, "mine"), await ask(port), await ask(port, "other")]).toEqual([
      "200 laptop",
      "200 baseline",
      "200 baseline",
    ]);
    expect(await command.interrupt()).toBe(0);
    await eventually(async () => (await ask(port, "mine")) === "200 baseline");
    expect(command.events.at(-1)).toEqual({
      event: "left",
      services: [{ service: "checkout", answeredBy: "sandbox-deleted" }],
      problem: "",
    });
  });

  test("gRPC and WebSocket through the sidecar", async () => {
    const world = await World.start();
    const [grpcBaseline, grpcLocal] = [await startGrpcApp("baseline"), await startGrpcApp("laptop")];
    const webSockets = await startWebSocketApp(echo);
    const grpc = await world.sidecar("ledger", grpcBaseline.name);
    const web = await world.sidecar("checkout", "127.0.0.1:1");
    const services = ["--service", `ledger=${grpcLocal.name}`, "--service", `checkout=${webSockets.name}`];
    const command = world.connect("--sandbox", "mine", "--create", ...services);
    await command.told("ready");

    const client = new GrpcClient(grpc);
    const metadata = metadataOf(["baggage", "sidelane=mine"]);
    const chat = client.chat({ metadata });
    for (let n = 1; n <= 20; n++) {
      chat.call.write(Buffer.alloc(n * 1000, n));
      expect(await chat.messages.next()).toEqual(Buffer.alloc(n * 1000, n));
    }
    chat.call.end();
    expect((await chat.outcome).code).toBe(0);
    expect((await client.unary("hello", { metadata })).message?.toString()).toBe("hello");
    expect([grpcLocal.served.length, grpcBaseline.served.length]).toEqual([2, 0]);

    const peer = await connectWebSocket(web, { headers: { baggage: "sidelane=mine" } });
    peer.socket.send("hello");
    expect(await peer.message()).toBe("hello");
  });

  test("the control plane is killed and comes back: so does the machine", async () => {
    const world = await World.start();
    const baseline = await startApp((_, response) => void response.end("baseline"));
    const local = await startApp((_, response) => void response.end("laptop"));
    const port = await world.sidecar("checkout", baseline);
    const command = world.connect("--sandbox", "mine", "--create", "--service", `checkout=${local}`);
    await command.told("ready");
    await world.kill();
    await command.told("disconnected");
    // Its sandbox should have served it: never the baseline.
    expect(await ask(port, "mine")).toBe("503");
    await world.startControl();
    await command.told("ready", 2);
    expect(await ask(port, "mine")).toBe("200 laptop");
    const endpoints = command.events.flatMap((one) => (one.event === "connected" ? [one.services[0]?.endpoint] : []));
    expect(new Set(endpoints).size).toBe(1);
  });

  test("an app that is not there: sidecars cannot connect, and it is said", async () => {
    const world = await World.start();
    const port = await world.sidecar("checkout", "127.0.0.1:1");
    const command = world.connect(
      "--sandbox",
      "mine",
      "--create",
      "--service",
      `checkout=127.0.0.1:${await deadPort()}`,
    );
    await command.told("connected");
    expect(command.events.find(({ event }) => event === "connected")).toMatchObject({
      services: [{ problem: "ECONNREFUSED" }],
    });
    await command.told("waiting");
    await eventually(async () => (await ask(port, "mine")) === "503");
    expect(command.events.filter(({ event }) => event === "ready")).toEqual([]);
  });

  test("a no is told with what to do, and exit code 1", async () => {
    const world = await World.start();
    const service = ["--service", "checkout=3000"];
    const cases = [
      [world.connect("--sandbox", "none-such", ...service), /there is no sandbox "none-such".*--create/u],
      [world.connect("--sandbox", "mine", "--create", "--service", "chekout=3000"), /did you mean checkout/u],
      [world.connectAs("vera", "--sandbox", "mine", "--create", ...service), /role 'editor'/u],
      [world.connectAs("nobody", "--sandbox", "mine", "--create", ...service), /token/u],
    ] as const;
    for (const [command, message] of cases) {
      expect(await command.exit).toBe(1);
      expect(command.err).toMatch(message);
    }
  });
});
