// The end of a data plane: announced while everything is still served, then what runs may finish, for a bounded time.
import { describe, expect, test } from "vitest";
import { ok, startAnswering } from "../support/backend.ts";
import { accepts, endpointState, eventually, get, openConnections } from "../support/requests.ts";
import { startSidecar, startTrio } from "../support/sidecar.ts";

describe("while a drain is announced", () => {
  test("connections old and new are served, and every answer says that it is the last", async () => {
    const backend = await startAnswering(() => ok("served"));
    const sidecar = await startSidecar({ target: backend.name, timeouts: { drainDelayMs: 60_000 } });
    const old = await sidecar.connect();
    old.send(get());
    expect((await old.message()).field("connection")).toBeUndefined();
    const idle = await sidecar.connect();
    idle.send(get());
    await idle.message();

    void sidecar.proxy.drain();
    old.send(get());
    const last = await old.message();
    expect(last.body).toBe("served");
    expect(last.field("connection")).toBe("close");
    expect(await old.ended()).toBe("fin");
    const late = await sidecar.connect();
    late.send(get());
    const answer = await late.message();
    expect(answer.body).toBe("served");
    expect(answer.field("connection")).toBe("close");
    expect(await late.ended()).toBe("fin");
    // Nobody is hung up on before the delay is over.
    expect(idle.ending).toBeUndefined();
    expect(await accepts(sidecar.port())).toBe(true);
  });
});

test("an answer that had begun before the announcement does not end its connection: the next one says so first", async () => {
  const { sidecar, backend, client } = await startTrio({ timeouts: { drainDelayMs: 60_000 } });
  client.send(get("/running"));
  const { peer } = await backend.request();
  peer.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nbegun");
  await client.until("begun");
  void sidecar.proxy.drain();
  peer.send("ended");
  expect((await client.message()).field("connection")).toBeUndefined();
  client.send(get("/next"));
  await peer.message();
  peer.send(ok("next"));
  const last = await client.message();
  expect(last.body).toBe("next");
  expect(last.field("connection")).toBe("close");
  expect(await client.ended()).toBe("fin");
});

describe("a drain", () => {
  test("ends idle connections, accepts no more, finishes what runs, and is over then", async () => {
    const { sidecar, backend, client } = await startTrio();
    client.send(get("/running"));
    const { peer } = await backend.request();
    const idle = await sidecar.connect();
    let over = false;
    const drained = sidecar.proxy.drain().then(() => (over = true));
    expect(await idle.ended()).toBe("fin");
    idle.finish();
    expect(await accepts(sidecar.port())).toBe(false);
    await eventually(() => expect(openConnections(sidecar)).toBe(1));
    expect(over).toBe(false);

    peer.send(ok("finished"));
    const answer = await client.message();
    expect(answer.body).toBe("finished");
    expect(answer.field("connection")).toBe("close");
    expect(await client.ended()).toBe("fin");
    client.finish();
    await drained;
    expect(await peer.ended()).toBe("fin");
    expect(endpointState(sidecar)).toMatchObject({ idle: 0, active: 0, outstanding: 0 });
  });

  test("a response that runs for long is finished to its last byte", async () => {
    const { sidecar, backend, client } = await startTrio();
    client.send(get("/running"));
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegun\r\n");
    await client.until("begun");
    const drained = sidecar.proxy.drain();
    await eventually(async () => expect(await accepts(sidecar.port())).toBe(false));
    peer.send("5\r\nended\r\n0\r\n\r\n");
    expect((await client.message()).body).toBe("begunended");
    expect(await client.ended()).toBe("fin");
    client.finish();
    await drained;
  });

  test("is over after drainMs, whatever still runs, and close ends that", async () => {
    const { sidecar, backend, client } = await startTrio({ timeouts: { drainMs: 200 } });
    client.send(get("/running"));
    const { peer } = await backend.request();
    await sidecar.proxy.drain();
    expect(client.ending).toBeUndefined();
    await sidecar.close();
    expect(await client.ended()).toBe("reset");
    await peer.ended();
    await eventually(() => expect(openConnections(sidecar)).toBe(0));
  });

  test("may be asked for twice", async () => {
    const { sidecar, client } = await startTrio();
    const drains = [sidecar.proxy.drain(), sidecar.proxy.drain()];
    expect(await client.ended()).toBe("fin");
    client.finish();
    await Promise.all(drains);
    expect(openConnections(sidecar)).toBe(0);
  });

  test("is over when the proxy is closed meanwhile", async () => {
    const { sidecar } = await startTrio({ timeouts: { drainDelayMs: 600_000 } });
    const drained = sidecar.proxy.drain();
    await sidecar.close();
    await drained;
    expect(await accepts(sidecar.port())).toBe(false);
  });

  test("of a proxy without connections is over at once", async () => {
    const backend = await startAnswering(() => ok(""));
    const sidecar = await startSidecar({ target: backend.name });
    await sidecar.proxy.drain();
    expect(await accepts(sidecar.port())).toBe(false);
  });
});
