// Who is connected to what, and when that ends: what the table says meanwhile. Long because the ends of a session are many, and one
// small world serves them all.
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { once } from "node:events";
import { describe, expect, onTestFinished, test } from "vitest";
import { groupResource, sandboxResource, serviceResource } from "../../src/control/fixture.ts";
import type { SandboxSpec } from "../../src/control/resource.ts";
import { SharedStore, startMachine, startReplica } from "../support/connect-replica.ts";
import type { TestReplica } from "../support/connect-replica.ts";
import { Peer } from "../support/peer.ts";
import { eventually } from "../support/quiet.ts";
import { accepts, deadPort } from "../support/requests.ts";

/** An app that sends everything back; closed when the test is over. */
async function echoApp(port = 0): Promise<{ readonly port: number; die(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const die = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  onTestFinished(die);
  return { port: (server.address() as AddressInfo).port, die };
}

const shop = (sandbox: Partial<SandboxSpec> = {}): SharedStore =>
  new SharedStore([
    serviceResource("checkout"),
    serviceResource("ledger", { ports: { http: 8080, grpc: 9090 } }),
    sandboxResource("pr-7", sandbox),
  ]);

/** What the table leads to. */
function endpoints({ state }: TestReplica, sandbox = "pr-7", service = "checkout"): readonly string[] | undefined {
  const services = state.table.sandboxes.get(sandbox)?.services ?? [];
  return services.find((one) => one.service === service)?.endpoints.flatMap((one) => one.endpoints);
}

/** Whether somebody answers at a port, and what it is. */
async function echoed(port: number): Promise<boolean> {
  const peer = await Peer.connect(port);
  try {
    peer.send("hello");
    await peer.until("hello");
    return true;
  } catch {
    return false;
  } finally {
    peer.socket.destroy();
  }
}

const sandboxOf = ({ state }: TestReplica, name = "pr-7"): SandboxSpec | undefined => state.find("sandbox", name)?.spec;

describe("connecting", () => {
  test("leads the sandbox's requests here, beside its own endpoints", async () => {
    const { port } = await echoApp();
    const replica = await startReplica(shop({ services: { checkout: ["10.0.0.7:8080"] } }));
    const machine = startMachine([replica.url], [`checkout=localhost:${port}`]);
    const [door = 0] = await machine.ports();
    expect(endpoints(replica)).toEqual([`127.0.0.1:${door}`]);
    expect(sandboxOf(replica)?.connected?.["checkout"]).toMatchObject({ by: "ada", machine: "laptop" });
    expect(await echoed(door)).toBe(true);
    expect(machine.of("connected")[0]?.services).toEqual([
      {
        service: "checkout",
        local: `localhost:${port}`,
        endpoint: `127.0.0.1:${door}`,
        otherwise: "sandbox",
        problem: "",
      },
    ]);
  });

  test("several ports of a service, each to an app of its own", async () => {
    const http = await echoApp();
    const replica = await startReplica(shop());
    const dead = await deadPort();
    const machine = startMachine(
      [replica.url],
      [`ledger:grpc=127.0.0.1:${dead}`, `ledger:http=127.0.0.1:${http.port}`],
    );
    const [grpc = 0, web = 0] = await machine.ports();
    expect(sandboxOf(replica)?.connected?.["ledger"]?.endpoints).toEqual({
      http: [`127.0.0.1:${web}`],
      grpc: [`127.0.0.1:${grpc}`],
    });
    expect(await echoed(web)).toBe(true);
    expect(machine.of("connected")[0]?.services[0]?.problem).toBe("ECONNREFUSED");
  });

  test("a port that is not connected stays with the sandbox's own endpoints", async () => {
    const { port } = await echoApp();
    const replica = await startReplica(
      shop({ services: { ledger: { http: ["10.0.0.8:8080"], grpc: ["10.0.0.8:9090"] } } }),
    );
    const machine = startMachine([replica.url], [`ledger:grpc=127.0.0.1:${port}`]);
    const [grpc = 0] = await machine.ports();
    expect(sandboxOf(replica)?.connected?.["ledger"]?.endpoints).toEqual({
      http: ["10.0.0.8:8080"],
      grpc: [`127.0.0.1:${grpc}`],
    });
  });

  test.each([
    [
      "a sandbox that is not there",
      ["checkout=3000"],
      { sandbox: "pr-8" },
      /no sandbox "pr-8"; did you mean pr-7\?.*--create/u,
    ],
    ["a service that is not there", ["chekout=3000"], {}, /no service "chekout"; did you mean checkout\?/u],
    [
      "a port that is not there",
      ["ledger:htp=3000"],
      {},
      /no port "htp": http, grpc; write --service ledger:http=localhost:PORT/u,
    ],
    ["a service with several ports", ["ledger=3000"], {}, /ledger has several ports: http, grpc/u],
    ["a port of a service without", ["checkout:http=3000"], {}, /one port without a name/u],
    [
      "a port for which nobody would answer",
      ["ledger:http=3000"],
      {},
      /nobody would answer for grpc in sandbox pr-7; connect all/u,
    ],
    ["a viewer", ["checkout=3000"], { token: "viewer-bob" }, /role editor/u],
    ["a key that is taken", ["checkout=3000"], { sandbox: "special", create: true }, /belongs to group release/u],
    ["a reserved name", ["checkout=3000"], { sandbox: "none", create: true }, /reserved/u],
  ])("refused: %s", async (_, services, settings, message) => {
    const store = new SharedStore([
      serviceResource("checkout"),
      serviceResource("ledger", { ports: { http: 8080, grpc: 9090 } }),
      sandboxResource("pr-7"),
      groupResource("release", { key: "special", sandboxes: ["pr-7"] }),
    ]);
    const replica = await startReplica(store);
    const machine = startMachine([replica.url], services, settings);
    expect(String(await machine.outcome)).toMatch(message);
    expect(replica.connections.list()).toEqual([]);
    expect(store.audit).toEqual([]);
  });

  test("what the control plane cannot do now is tried again", async () => {
    const store = shop();
    const replica = await startReplica(store);
    store.setDown(true);
    const machine = startMachine([replica.url], ["checkout=3000"]);
    expect((await machine.told("disconnected")).why).toContain("the store is down");
    store.setDown(false);
    await machine.told("connected");
  });
});

describe("another machine", () => {
  test("is told who has it, and takes it with --take-over", async () => {
    const first = await echoApp();
    const replica = await startReplica(shop());
    const ada = startMachine([replica.url], [`checkout=127.0.0.1:${first.port}`]);
    const [old = 0] = await ada.ports();
    const refused = startMachine([replica.url], ["checkout=3000"], { token: "bob" });
    expect(String(await refused.outcome)).toMatch(/connected to the machine laptop of ada since .*--take-over/u);

    const second = await echoApp();
    const bob = startMachine([replica.url], [`checkout=127.0.0.1:${second.port}`], { token: "bob", takeOver: true });
    const [port = 0] = await bob.ports();
    expect(String(await ada.outcome)).toMatch(/bob on laptop took checkout over; take it back with --take-over/u);
    expect(endpoints(replica)).toEqual([`127.0.0.1:${port}`]);
    expect(sandboxOf(replica)?.connected?.["checkout"]?.by).toBe("bob");
    // Sidecars that have not heard yet reach whoever has it now.
    expect(await echoed(old)).toBe(true);
    expect(await echoed(port)).toBe(true);
  });

  test("takes over from another replica, which shuts its port", async () => {
    const app = await echoApp();
    const store = shop();
    const [one, two] = [await startReplica(store), await startReplica(store)];
    const ada = startMachine([one.url], [`checkout=127.0.0.1:${app.port}`]);
    const [old = 0] = await ada.ports();
    const bob = startMachine([two.url], [`checkout=127.0.0.1:${app.port}`], { token: "bob", takeOver: true });
    const [port = 0] = await bob.ports();
    expect(port).not.toBe(old);
    expect(String(await ada.outcome)).toMatch(/took checkout over/u);
    await eventually(async () => !(await accepts(old)));
    expect(one.connections.list()).toEqual([]);
  });
});

describe("a connection that is lost", () => {
  /** Cuts the machine off as the network does; it comes back by itself. */
  const cut = (replica: TestReplica): void => replica.cut();

  test("comes back to the same port, without a change of the table", async () => {
    const app = await echoApp();
    const replica = await startReplica(shop());
    const machine = startMachine([replica.url], [`checkout=127.0.0.1:${app.port}`]);
    const [port = 0] = await machine.ports();
    const { revision } = replica.state;
    const running = await Peer.connect(port);
    running.send("x");
    await running.until("x");
    cut(replica);
    expect(await running.ended()).toBe("reset");
    // Held until the machine is back.
    expect(await echoed(port)).toBe(true);
    expect(await machine.ports(2)).toEqual([port]);
    expect(machine.of("connected")[1]?.again).toBe(true);
    expect(replica.state.revision).toBe(revision);
    expect(machine.of("disconnected")[0]?.graceLeftMs).toBeGreaterThan(20_000);
  });

  test("that stays away: what waits is reset, and after the grace the sandbox falls back", async () => {
    const app = await echoApp();
    const replica = await startReplica(shop({ services: { checkout: ["10.0.0.7:8080"] } }), {
      heldMs: 50,
      graceMs: 400,
    });
    const machine = startMachine([replica.url], [`checkout=127.0.0.1:${app.port}`], {});
    const [port = 0] = await machine.ports();
    replica.stopListening();
    cut(replica);
    const peer = await Peer.connect(port);
    expect(await peer.ended()).toBe("reset");
    await eventually(() => endpoints(replica)?.[0] === "10.0.0.7:8080");
    expect(await accepts(port)).toBe(false);
    expect(sandboxOf(replica)?.connected).toBeUndefined();
    expect(replica.connections.list()).toEqual([]);
  });

  test("unavailable: nobody answers until somebody connects again", async () => {
    const app = await echoApp();
    const replica = await startReplica(shop({ whenDisconnected: "unavailable" }), { graceMs: 50 });
    const machine = startMachine([replica.url], [`checkout=127.0.0.1:${app.port}`]);
    const [port = 0] = await machine.ports();
    replica.stopListening();
    cut(replica);
    await eventually(() => sandboxOf(replica)?.connected?.["checkout"]?.replica === "");
    expect(endpoints(replica)).toEqual([`127.0.0.1:${port}`]);
    expect(await accepts(port)).toBe(false);
    await replica.listenAgain();
    const bob = startMachine([replica.url], [`checkout=127.0.0.1:${app.port}`], { token: "bob" });
    const [next = 0] = await bob.ports();
    expect(endpoints(replica)).toEqual([`127.0.0.1:${next}`]);
    expect(next).not.toBe(port);
  });

  test("a silent one is noticed by both ends", async () => {
    const app = await echoApp();
    const keepAlive = { pingMs: 50, silenceMs: 300 };
    const replica = await startReplica(shop(), { keepAlive });
    const proxy = await silencer(replica.url);
    const machine = startMachine([proxy.url], [`checkout=127.0.0.1:${app.port}`], { keepAlive });
    await machine.told("connected");
    proxy.silence();
    expect((await machine.told("disconnected")).why).toContain("nothing was heard for");
    await eventually(() => !(replica.connections.list()[0]?.connected ?? true));
    proxy.pass();
    await machine.told("connected", 2);
  });
});

describe("replicas", () => {
  test("one dies: the machine goes to another one and takes its entry along", async () => {
    const app = await echoApp();
    const store = shop();
    const [one, two] = [await startReplica(store), await startReplica(store)];
    const machine = startMachine([one.url, two.url], [`checkout=127.0.0.1:${app.port}`]);
    await machine.ports();
    await one.kill();
    const [port = 0] = await machine.ports(2);
    expect(endpoints(two)).toEqual([`127.0.0.1:${port}`]);
    expect(sandboxOf(two)?.connected?.["checkout"]).toMatchObject({ replica: two.id, by: "ada" });
    expect(await echoed(port)).toBe(true);
  });

  test("one dies and its machine too: another one takes the entry out after the grace", async () => {
    const app = await echoApp();
    const store = shop();
    const [one, two, three] = [
      await startReplica(store, { graceMs: 100 }),
      await startReplica(store, { graceMs: 100 }),
      await startReplica(store, { graceMs: 100 }),
    ];
    const machine = startMachine([one.url], [`checkout=127.0.0.1:${app.port}`]);
    await machine.ports();
    await one.kill();
    await eventually(() => endpoints(two) === undefined);
    expect(sandboxOf(three)?.connected).toBeUndefined();
    expect(store.audit.filter(({ action }) => action === "disconnect")).toMatchObject([{ actor: "sidelane" }]);
  });

  test("one ends properly: the machine moves at once, and what runs may finish", async () => {
    const app = await echoApp();
    const store = shop();
    const [one, two] = [await startReplica(store), await startReplica(store)];
    const machine = startMachine([one.url, two.url], [`checkout=127.0.0.1:${app.port}`]);
    const [port = 0] = await machine.ports();
    const running = await Peer.connect(port);
    running.send("before ");
    await running.until("before ");
    const closed = one.close(5000);
    await machine.ports(2);
    running.send("and after");
    await running.until("before and after");
    running.finish();
    expect(await running.ended()).toBe("fin");
    await closed;
    expect(machine.of("disconnected")).toEqual([]);
    expect(sandboxOf(two)?.connected?.["checkout"]?.replica).toBe(two.id);
  });

  test("the store is down when a machine stays away: its entry goes when the store is back", async () => {
    const app = await echoApp();
    const store = shop();
    const replica = await startReplica(store, { graceMs: 50 });
    const machine = startMachine([replica.url], [`checkout=127.0.0.1:${app.port}`]);
    const [port = 0] = await machine.ports();
    store.setDown(true);
    replica.stopListening();
    replica.cut();
    await eventually(async () => !(await accepts(port)));
    expect(endpoints(replica)).toEqual([`127.0.0.1:${port}`]);
    store.setDown(false);
    await eventually(() => endpoints(replica) === undefined);
  });
});

test("a machine whose token is taken back is sent away", async () => {
  const app = await echoApp();
  const replica = await startReplica(shop(), { graceMs: 50, authoriseMs: 20 });
  const ada = startMachine([replica.url], [`checkout=127.0.0.1:${app.port}`]);
  await ada.ports();
  replica.revoked.add("ada");
  expect(await ada.outcome).toBeInstanceOf(Error);
  await eventually(() => endpoints(replica) === undefined);
});

describe("leaving", () => {
  test("takes the entry out; what runs may finish", async () => {
    const app = await echoApp();
    const replica = await startReplica(shop());
    const machine = startMachine([replica.url], [`checkout=127.0.0.1:${app.port}`]);
    const [port = 0] = await machine.ports();
    const running = await Peer.connect(port);
    running.send("x");
    await running.until("x");
    const left = machine.leave();
    await eventually(() => endpoints(replica) === undefined);
    running.send("y");
    await running.until("xy");
    running.finish();
    expect(await running.ended()).toBe("fin");
    expect(await left).toBe("left");
    expect(machine.of("left")).toEqual([
      { event: "left", services: [{ service: "checkout", answeredBy: "baseline" }], problem: "" },
    ]);
    await eventually(() => replica.connections.list().length === 0);
    expect(await accepts(port)).toBe(false);
  });

  test("a sandbox that was made for it is deleted with the last connection", async () => {
    const replica = await startReplica(shop());
    const one = startMachine([replica.url], ["checkout=3000"], { sandbox: "mine", create: true });
    await one.told("connected");
    expect(one.of("connected")[0]).toMatchObject({ temporary: true, key: "mine" });
    expect(sandboxOf(replica, "mine")).toMatchObject({ temporary: true, owner: "ada" });
    const two = startMachine([replica.url], ["ledger:http=3001", "ledger:grpc=3002"], { sandbox: "mine" });
    await two.told("connected");
    await one.leave();
    expect(Object.keys(sandboxOf(replica, "mine")?.connected ?? {})).toEqual(["ledger"]);
    await two.leave();
    expect(sandboxOf(replica, "mine")).toBeUndefined();
    expect(two.of("left")[0]?.services[0]?.answeredBy).toBe("sandbox-deleted");
  });

  test("a sandbox that is deleted meanwhile ends the connection with a sentence", async () => {
    const replica = await startReplica(shop());
    const machine = startMachine([replica.url], ["checkout=3000"]);
    const [port = 0] = await machine.ports();
    await replica.writer.write("bob", "delete", () => ({
      puts: [],
      deletes: [{ kind: "sandbox", name: "pr-7" }],
      detail: () => "",
    }));
    expect(String(await machine.outcome)).toContain("sandbox pr-7 was deleted");
    expect(await accepts(port)).toBe(false);
  });
});

describe("the local app", () => {
  test("sidecars cannot connect while it takes no connections", async () => {
    const port = await deadPort();
    const replica = await startReplica(shop());
    const machine = startMachine([replica.url], [`checkout=127.0.0.1:${port}`]);
    const [door = 0] = await machine.ports();
    await eventually(async () => !(await accepts(door)));
    const app = await echoApp(port);
    expect(await machine.told("app")).toMatchObject({ service: "checkout", reachable: true, problem: "" });
    await eventually(() => accepts(door));
    expect(await echoed(door)).toBe(true);

    const running = await Peer.connect(door);
    running.send("x");
    await running.until("x");
    app.die();
    await running.ended();
    await machine.told("app", 2);
    expect(machine.of("app")[1]).toMatchObject({ reachable: false, problem: "ECONNREFUSED" });
    await eventually(async () => !(await accepts(door)));
    // The table knows nothing of it.
    expect(endpoints(replica)).toEqual([`127.0.0.1:${door}`]);
  });
});

/** Something between machine and replica that stops to pass anything on, both connections left open. */
async function silencer(url: string): Promise<{ readonly url: string; silence(): void; pass(): void }> {
  const { port, hostname } = new URL(url);
  let silent = false;
  const server = createServer((socket) => {
    const upstream = connect({ port: Number(port), host: hostname });
    for (const [from, to] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      from.on("error", () => {});
      from.on("close", () => {
        if (!silent) to.destroy();
      });
      from.on("data", (bytes: Buffer) => {
        if (!silent) to.write(bytes);
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    silence: () => void (silent = true),
    pass: () => void (silent = false),
  };
}
