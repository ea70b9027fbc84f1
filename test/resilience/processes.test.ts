// What happens to real processes: SIGTERM, kill -9, workers. Nobody here sends a request twice.
import { describe, expect, test } from "vitest";
import { ok, startAnswering, startBackend } from "../support/backend.ts";
import { ANSWER_BYTES, startBackendProcess } from "../support/backend-process.ts";
import { Peer } from "../support/peer.ts";
import { accepts, eventually, get, request } from "../support/requests.ts";
import { type SidelaneProcess, startProcess } from "../support/sidelane-process.ts";

describe("SIGTERM", () => {
  test("readiness fails first; the listener stays open for drainDelayMs and announces the end; exit code 0", async () => {
    const backend = await startAnswering(() => ok("served"));
    const sidelane = await startProcess({ target: backend.name, timeouts: { drainDelayMs: 1500 } });
    const idle = await sidelane.connect();
    idle.send(get());
    expect((await idle.message()).field("connection")).toBeUndefined();
    expect((await sidelane.admin("/ready")).status).toBe(200);

    sidelane.child.kill("SIGTERM");
    await sidelane.logs(/"message":"draining"/u);
    expect((await sidelane.admin("/ready")).status).toBe(503);
    const late = await sidelane.connect();
    late.send(get());
    const answer = await late.message();
    expect(answer.body).toBe("served");
    expect(answer.field("connection")).toBe("close");
    expect(idle.ending).toBeUndefined();
    expect(await idle.ended()).toBe("fin");
    expect(await sidelane.exit).toBe(0);
  });

  test("what runs is finished, and an idle connection is closed meanwhile", async () => {
    const backend = await startBackend();
    const sidelane = await startProcess({ target: backend.name });
    const running = await sidelane.connect();
    running.send(request("POST", "/running", "body"));
    const { peer } = await backend.request();
    const idle = await sidelane.connect();
    sidelane.child.kill("SIGTERM");
    expect(await idle.ended()).toBe("fin");
    expect(await accepts(sidelane.port)).toBe(false);
    peer.send(ok("finished"));
    const answer = await running.message();
    expect(answer.body).toBe("finished");
    expect(answer.field("connection")).toBe("close");
    running.finish();
    expect(await sidelane.exit).toBe(0);
  });

  test("what still runs after drainMs is ended, exit code 0", async () => {
    const backend = await startBackend();
    const sidelane = await startProcess({ target: backend.name, timeouts: { drainMs: 300 } });
    const running = await sidelane.connect();
    running.send(get("/running"));
    await backend.request();
    sidelane.child.kill("SIGTERM");
    expect(await sidelane.exit).toBe(0);
    expect(await running.ended()).toBe("reset");
    await sidelane.logs(/drain deadline has passed/u);
  });

  test("a second signal ends it at once", async () => {
    const backend = await startBackend();
    const sidelane = await startProcess({ target: backend.name, timeouts: { drainMs: 600_000 } });
    const running = await sidelane.connect();
    running.send(get("/running"));
    await backend.request();
    sidelane.child.kill("SIGTERM");
    await sidelane.logs(/"message":"draining"/u);
    sidelane.child.kill("SIGTERM");
    expect(await sidelane.exit).toBe(1);
    await running.ended();
  });

  test.each([1, 2])(
    "under load loses no request behind a load balancer that watches readiness (workers: %i)",
    async (workers) => {
      const backend = await startAnswering(() => ok("served"));
      const timeouts = { drainDelayMs: 2000 };
      const [leaving, staying] = await Promise.all([
        startProcess({ target: backend.name, timeouts, workers }),
        startProcess({ target: backend.name }),
      ]);
      let inService: SidelaneProcess = leaving;
      const balancer = async (): Promise<void> => {
        while ((await leaving.admin("/ready")).status === 200) await new Promise((resolve) => setTimeout(resolve, 50));
        inService = staying;
      };
      const watching = balancer();
      let running = true;
      const served = new Map<SidelaneProcess, number>();
      const client = async (method: string): Promise<void> => {
        while (running) {
          const through = inService;
          const peer = await Peer.connect(through.port);
          let close = false;
          while (running && !close) {
            peer.send(request(method, "/", method === "POST" ? "body" : undefined));
            const answer = await peer.message();
            expect(answer.status).toBe(200);
            served.set(through, (served.get(through) ?? 0) + 1);
            close = answer.field("connection") === "close";
          }
          peer.finish();
        }
      };
      const clients = Array.from({ length: 8 }, (_, index) => client(index % 2 === 0 ? "GET" : "POST"));
      const all = Promise.all(clients);
      await Promise.race([all, eventually(() => expect(served.get(leaving)).toBeGreaterThan(200))]);
      leaving.child.kill("SIGTERM");
      expect(await Promise.race([all, leaving.exit])).toBe(0);
      await watching;
      await Promise.race([all, eventually(() => expect(served.get(staying)).toBeGreaterThan(200))]);
      running = false;
      await all;
    },
  );
});

test("kill -9 of the backend under load: every request gets an answer or a visible end, and all is well when it is back", async () => {
  const backend = await startBackendProcess();
  const target = `127.0.0.1:${backend.port}`;
  const sidelane = await startProcess({ target, timeouts: { ejectBaseMs: 100, ejectMs: 500 } });
  let running = true;
  const seen = { whole: 0, refused: 0, cut: 0 };
  const client = async (method: string): Promise<void> => {
    let peer = await Peer.connect(sidelane.port);
    while (running) {
      if (peer.ending !== undefined) peer = await Peer.connect(sidelane.port);
      peer.send(request(method, "/", method === "POST" ? "body" : undefined));
      const answer = await peer.message().catch(() => undefined);
      if (answer === undefined) {
        // A response that broke off must not look whole, nor like an orderly end.
        expect(peer.ending).toBe("reset");
        seen.cut++;
      } else if (answer.status === 200) {
        expect(answer.body).toHaveLength(ANSWER_BYTES);
        seen.whole++;
      } else {
        expect([502, 503]).toContain(answer.status);
        expect(answer.field("server")).toBe("sidelane");
        seen.refused++;
      }
    }
    peer.finish();
  };
  const all = Promise.all(Array.from({ length: 8 }, (_, index) => client(index % 2 === 0 ? "GET" : "POST")));
  const reach = (check: () => void): Promise<unknown> => Promise.race([all, eventually(check)]);
  await reach(() => expect(seen.whole).toBeGreaterThan(50));
  await backend.kill();
  await reach(() => expect(seen.refused).toBeGreaterThan(50));
  await startBackendProcess(backend.port);
  const before = seen.whole;
  await reach(() => expect(seen.whole).toBeGreaterThan(before + 50));
  const { refused, cut } = seen;
  await reach(() => expect(seen.whole).toBeGreaterThan(before + 100));
  expect({ refused: seen.refused, cut: seen.cut }).toEqual({ refused, cut });
  running = false;
  await all;
  expect(sidelane.child.exitCode).toBeNull();
  await eventually(async () => {
    const { endpoints } = JSON.parse((await sidelane.admin("/connections")).body) as { endpoints: object[] };
    expect(endpoints[0]).toMatchObject({ active: 0, connecting: 0, waiting: 0, outstanding: 0, ejectedMs: 0 });
  });
});

describe("two workers", () => {
  test("share the listener: one that is killed takes only its own connections along", async () => {
    const backend = await startAnswering(() => ok("served"));
    const sidelane = await startProcess({ target: backend.name, workers: 2 });
    const peers = await Promise.all(Array.from({ length: 64 }, () => sidelane.connect()));
    for (const peer of peers) peer.send(get());
    for (const peer of peers) expect((await peer.message()).body).toBe("served");
    const [line] = await sidelane.logs(/"workerPid":\d+/u, 2);
    process.kill(Number(line?.replace(/\D/gu, "")), "SIGKILL");
    // By the time its end is known, the kernel has reset all that was its.
    await sidelane.logs(/"message":"a worker ended/u);
    await eventually(() => expect(peers.some(({ ending }) => ending !== undefined)).toBe(true));
    await new Promise<void>((resolve) => void setImmediate(() => setImmediate(resolve)));
    const left = peers.filter(({ ending }) => ending === undefined);
    expect(left.length).toBeGreaterThan(0);
    for (const peer of left) peer.send(get());
    for (const peer of left) expect((await peer.message()).body).toBe("served");
    await sidelane.logs(/"workerPid":\d+/u, 3);
  });
});

test("2,000 idle connections cost little memory", async () => {
  const count = 2000;
  const backend = await startAnswering(() => ok("served"));
  const sidelane = await startProcess({ target: backend.name });
  const peers: Peer[] = [];
  const open = async (): Promise<void> => {
    const more = await Promise.all(Array.from({ length: 100 }, () => sidelane.connect()));
    for (const peer of more) peer.send(get());
    for (const peer of more) await peer.message();
    peers.push(...more);
  };
  // The first hundred pay for code and pools.
  await open();
  const before = await sidelane.metric("sidelane_process_resident_memory_bytes");
  while (peers.length < count) await open();
  const after = await sidelane.metric("sidelane_process_resident_memory_bytes");
  expect((after - before) / count).toBeLessThan(12 * 1024);
  expect(peers.every(({ ending }) => ending === undefined)).toBe(true);
});
