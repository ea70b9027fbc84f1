// A table that changes while requests run: each goes by the table that was current at its head, and none is lost
// (DESIGN §1.4, §4).
import { expect, test } from "vitest";
import { startHttp2Answering } from "../support/http2-backend.ts";
import { connectTo, exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { eventually } from "../support/quiet.ts";
import { startSidecar } from "../support/sidecar.ts";

const named = (name: string) => startHttp2Answering((stream) => void stream.respond(200, name));

test("under load: every request is answered by the one or the other, and the last table wins", async () => {
  const [app, one, two] = await Promise.all(["app", "one", "two"].map(named));
  const table = (name: string | undefined): object => ({
    services: { checkout: {} },
    sandboxes: { x: { services: { checkout: [name] } } },
  });
  const sidecar = await startSidecar({ target: app?.name ?? "", table: table(one?.name) });
  const clients = await Promise.all([1, 2, 3].map(() => connectTo(sidecar)));
  let running = true;
  const seen = new Map<string, number>();
  const lives = clients.map(async (client) => {
    while (running) {
      const batch = Array.from({ length: 8 }, () => client.request(get("/", ["baggage", "sidelane=x"])));
      for (const asked of batch) {
        const { body, heads } = await asked.complete();
        expect(heads[0]?.status).toBe(200);
        seen.set(body, (seen.get(body) ?? 0) + 1);
      }
    }
  });
  for (let n = 0; n < 60; n++) {
    sidecar.publish(table(n % 2 === 0 ? two?.name : one?.name));
    const before = [...seen.values()].reduce((sum, count) => sum + count, 0);
    await eventually(() => [...seen.values()].reduce((sum, count) => sum + count, 0) > before);
  }
  running = false;
  await Promise.all(lives);
  expect([...seen.keys()].toSorted()).toEqual(["one", "two"]);
  expect(
    (await (clients[0] ?? (await connectTo(sidecar))).request(get("/", ["baggage", "sidelane=x"])).complete()).body,
  ).toBe("one");
  expect(app?.requests).toBe(0);
});

test("a running exchange stays where it is, the next stream of the same connection goes elsewhere", async () => {
  const trio = await startHttp2Trio();
  const running = await exchange(trio, post("/", ["baggage", "sidelane=x"]), { endStream: false });
  const sandbox = await named("sandbox");
  trio.sidecar.publish({ services: { checkout: {} }, sandboxes: { x: { services: { checkout: [sandbox.name] } } } });
  expect((await trio.client.request(get("/", ["baggage", "sidelane=x"])).complete()).body).toBe("sandbox");
  running.asked.data("body", { endStream: true });
  expect((await running.got.complete()).body).toBe("body");
  running.got.respond(200, "app");
  expect((await running.asked.complete()).body).toBe("app");
});

test("an endpoint that has left the table finishes its streams, then its connections are closed", async () => {
  const trio = await startHttp2Trio({
    timeouts: { upstreamIdleMs: 200 },
    table: { services: { checkout: {} }, sandboxes: {} },
  });
  const sandbox = await startHttp2Answering(() => {});
  trio.sidecar.publish({ services: { checkout: {} }, sandboxes: { x: { services: { checkout: [sandbox.name] } } } });
  const asked = trio.client.request(get("/", ["baggage", "sidelane=x"]));
  await eventually(() => sandbox.requests === 1);
  trio.sidecar.publish({ services: { checkout: {} } });
  const stream = sandbox.connections[0]?.streams.get(1);
  stream?.respond(200, "last");
  expect((await asked.complete()).body).toBe("last");
  await eventually(() => sandbox.open === 0);
});
