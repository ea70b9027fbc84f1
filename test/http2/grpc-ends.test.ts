// Servers and sidecars that are replaced while calls run: no call is lost.
import { status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { type GrpcApp, GrpcClient, type Outcome, startGrpcApp } from "../support/grpc.ts";
import { type Exchange, call, connectTo, startHttp2Trio } from "../support/http2-sidecar.ts";
import { eventually, swept } from "../support/quiet.ts";
import { type Sidecar, describeRelay, startSidecar } from "../support/sidecar.ts";

const LANES = 8;
const OK: number = status.OK;

/** Calls of all kinds, one after the other in each of several lanes, until `stop`. */
class Load {
  readonly #clients: readonly GrpcClient[];
  readonly #lanes: Promise<void>[];
  #stopped = false;
  readonly outcomes: Outcome[] = [];

  constructor(...clients: readonly GrpcClient[]) {
    this.#clients = clients;
    this.#lanes = Array.from({ length: LANES }, (_, n) => this.#run(n));
  }

  async #run(lane: number): Promise<void> {
    const client = this.#clients[lane % this.#clients.length] as GrpcClient;
    for (let n = 0; !this.#stopped; n++) {
      this.outcomes.push(await (n % 4 === 3 ? chat(client) : client.unary(`${lane}.${n}`)));
    }
  }

  /** Resolves when so many more calls have ended. */
  async served(more: number): Promise<void> {
    const wanted = this.outcomes.length + more;
    await eventually(() => this.outcomes.length >= wanted);
  }

  /** Ends it; resolves with the failures. */
  async stop(): Promise<string[]> {
    this.#stopped = true;
    await Promise.all(this.#lanes);
    return this.outcomes.flatMap(({ code, details }) => (code === OK ? [] : [`${code} ${details}`]));
  }
}

/** A conversation of three messages. */
async function chat(client: GrpcClient): Promise<Outcome> {
  const { call, messages, outcome } = client.chat();
  for (const text of ["a", "b", "c"]) {
    call.write(Buffer.from(text));
    const answer = await messages.next();
    // Cut off: `outcome` says why.
    if (answer === undefined) break;
    expect(String(answer)).toBe(text);
  }
  call.end();
  return outcome;
}

const servedBy = ({ outcomes }: Load, { id }: GrpcApp): number =>
  outcomes.filter(({ initial }) => initial.get("x-server")[0] === id).length;

describeRelay("under load, no call is lost", (mode) => {
  test("when a server shuts down (GOAWAY) and another one takes over", async () => {
    const apps = [await startGrpcApp("a"), await startGrpcApp("b")] as const;
    const sidecar = await startSidecar({
      ...mode,
      service: "shop",
      listeners: [{ direction: "outbound", address: "127.0.0.1:0" }],
      table: { services: { checkout: { baseline: apps.map(({ name }) => name) } } },
    });
    const port = sidecar.port("outbound");
    const load = new Load(new GrpcClient(port), new GrpcClient(port));
    await eventually(() => apps.every((app) => servedBy(load, app) > 50));
    await apps[0].shutDown();
    const before = servedBy(load, apps[1]);
    await eventually(() => servedBy(load, apps[1]) > before + 200);
    expect(await load.stop()).toEqual([]);
  });

  test("nor one that waits for its answer while its server shuts down", async () => {
    const app = await startGrpcApp("a");
    const sidecar = await startSidecar({ ...mode, target: app.name });
    const { call, messages, outcome } = new GrpcClient(sidecar.port()).chat();
    call.write(Buffer.from("before"));
    expect(String(await messages.next())).toBe("before");
    const down = app.shutDown();
    call.write(Buffer.from("after"));
    expect(String(await messages.next())).toBe("after");
    call.end();
    expect((await outcome).code).toBe(OK);
    await down;
  });

  test("when endpoints come and go in the table", async () => {
    const apps = [await startGrpcApp("a"), await startGrpcApp("b")] as const;
    const tableOf = (app: GrpcApp): object => ({ services: { checkout: { baseline: [app.name] } } });
    const sidecar = await startSidecar({
      ...mode,
      service: "shop",
      listeners: [{ direction: "outbound", address: "127.0.0.1:0" }],
      table: tableOf(apps[0]),
    });
    const load = new Load(new GrpcClient(sidecar.port("outbound")));
    for (let n = 1; n <= 6; n++) {
      await load.served(50);
      sidecar.publish(tableOf(apps[n % 2 === 0 ? 0 : 1]));
    }
    expect(await load.stop()).toEqual([]);
    for (const app of apps) expect(servedBy(load, app)).toBeGreaterThan(0);
  });

  test("when the sidecar drains and its clients move to another one", async () => {
    const app = await startGrpcApp("a");
    const start = (): Promise<Sidecar> => startSidecar({ ...mode, target: app.name });
    const here = await start();
    const there = await start();
    const load = new Load(
      new GrpcClient(here.port(), there.port()),
      new GrpcClient(here.port(), there.port()),
      new GrpcClient(here.port(), there.port()),
    );
    await load.served(100);
    await here.proxy.drain();
    await load.served(100);
    expect(await load.stop()).toEqual([]);
    expect(await here.metric("sidelane_active_requests")).toBe(0);
    expect(await there.metric("sidelane_grpc_requests_total", { grpc_status: "0" })).toBeGreaterThan(50);
    const all = await Promise.all([here, there].map((each) => each.metric("sidelane_grpc_requests_total")));
    expect(all.reduce((sum, count) => sum + count)).toBe(load.outcomes.length);
  });

  test("of clients that come while the sidecar only announces its end (timeouts.drainDelayMs)", async () => {
    const app = await startGrpcApp("a");
    const sidecar = await startSidecar({ ...mode, target: app.name, timeouts: { drainDelayMs: 700 } });
    const old = new GrpcClient(sidecar.port());
    expect((await old.unary("x")).code).toBe(OK);
    const drained = sidecar.proxy.drain();
    const due = swept(400);
    let over = false;
    void due.then(() => (over = true));
    while (!over) {
      expect((await old.unary("x")).code).toBe(OK);
      expect((await new GrpcClient(sidecar.port()).unary("x")).code).toBe(OK);
    }
    await drained;
  });
});

test("connections that come while the end is only announced are served, and no last id grows (RFC 9113 §6.8)", async () => {
  const trio = await startHttp2Trio({ timeouts: { drainDelayMs: 300, drainMs: 10_000 } });
  const drained = trio.sidecar.proxy.drain();
  const calls: Exchange[] = [];
  // One after the other until the listener closes, so that some come at its very end.
  for (;;) {
    const client = await connectTo(trio.sidecar).catch(() => undefined);
    if (client === undefined) break;
    const came = trio.backend.next();
    came.catch(() => {});
    const asked = client.request(call());
    const got = await Promise.race([came, client.ended()]);
    if (typeof got !== "string") calls.push({ asked, got });
  }
  expect(calls.length).toBeGreaterThan(3);
  await Promise.all(
    calls.map(({ asked }) => asked.peer.until(() => asked.peer.goaways.find(({ lastId }) => lastId === 1))),
  );
  await swept(300);
  for (const { asked, got } of calls) {
    got.head(
      [
        [":status", "200"],
        ["grpc-status", "0"],
      ],
      { endStream: true },
    );
    expect((await asked.complete()).heads[0]?.get("grpc-status")).toBe("0");
    // Their peers fail for a last id that grows.
    asked.peer.expectSound();
    asked.peer.socket.destroy();
  }
  trio.client.socket.destroy();
  await drained;
});
