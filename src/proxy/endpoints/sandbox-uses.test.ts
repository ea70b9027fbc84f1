import { once } from "node:events";
import { type ServerResponse, createServer, request } from "node:http";
import { type ServerHttp2Stream, connect as connectHttp2, createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, connect } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { type ProbedProxy, startProbed } from "../../../test/support/probed-proxy.ts";

const REPORT_MS = 9_500;

/** An app whose answers begin at once and end when the test says so. */
async function startStreaming() {
  const open: ServerResponse[] = [];
  const server = createServer((_request, response) => {
    response.flushHeaders();
    open.push(response);
  });
  server.on("upgrade", (_request, socket) => {
    socket.on("error", () => {});
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    socket.on("end", () => socket.end());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, open };
}

const tableWith = (sandboxes: Readonly<Record<string, readonly string[]>>): object => ({
  services: { checkout: {} },
  sandboxes: Object.fromEntries(
    Object.entries(sandboxes).map(([name, endpoints]) => [name, { services: { checkout: endpoints } }]),
  ),
});

function startWith(sandboxes: Readonly<Record<string, readonly string[]>>): Promise<ProbedProxy> {
  const listeners = [{ direction: "inbound", address: "127.0.0.1:0", target: "127.0.0.1:1" }];
  return startProbed({ listeners }, tableWith(sandboxes));
}

/** Resolves with what ends the request when its answer has begun. */
async function begin(sidecar: ProbedProxy, baggage: string): Promise<() => Promise<void>> {
  const sent = request({ port: sidecar.port("inbound"), headers: { baggage } });
  sent.on("error", () => {});
  sent.end();
  const [response] = (await once(sent, "response")) as [NodeJS.ReadableStream];
  response.on("error", () => {});
  response.resume();
  return async () => {
    if (!sent.destroyed) await once(response, "end");
  };
}

describe("used", () => {
  test("names the sandboxes that had requests, once, every ten seconds", async () => {
    const app = await startStreaming();
    const sidecar = await startWith({ "pr-7": [app.address], "pr-8": [app.address], "pr-9": [app.address] });
    await begin(sidecar, "sidelane=pr-7");
    await begin(sidecar, "sidelane=pr-7");
    await begin(sidecar, "sidelane=pr-9");
    expect(sidecar.uses.activity(0).used).toEqual(["pr-7", "pr-9"]);
    await begin(sidecar, "sidelane=pr-8");
    expect(sidecar.uses.activity(REPORT_MS - 1).used).toEqual([]);
    expect(sidecar.uses.activity(REPORT_MS).used).toEqual(["pr-8"]);
    expect(sidecar.uses.activity(2 * REPORT_MS).used).toEqual([]);
  });

  test("survives new tables", async () => {
    const app = await startStreaming();
    const sidecar = await startWith({ "pr-7": [app.address] });
    await begin(sidecar, "sidelane=pr-7");
    sidecar.publish(tableWith({ "pr-1": [app.address], "pr-7": [app.address] }));
    sidecar.publish(tableWith({ "pr-1": [app.address] }));
    expect(sidecar.uses.activity(0).used).toEqual(["pr-7"]);
  });

  test("a probe is no use, and hides none", async () => {
    const app = await startStreaming();
    const sidecar = await startWith({ "pr-7": [app.address] });
    expect(await sidecar.probe({})).toMatchObject({ answered: true });
    expect(sidecar.uses.activity(0).used).toEqual([]);
    await begin(sidecar, "sidelane=pr-7;probe");
    expect(sidecar.uses.activity(REPORT_MS).used).toEqual([]);
    await begin(sidecar, "sidelane=pr-7;require=checkout");
    expect(sidecar.uses.activity(2 * REPORT_MS).used).toEqual(["pr-7"]);
  });

  test("by a group it is the sandbox that is used", async () => {
    const app = await startStreaming();
    const sidecar = await startWith({ "pr-7": [app.address] });
    sidecar.publish({ ...tableWith({ "pr-7": [app.address] }), groups: { release: { sandboxes: ["pr-7"] } } });
    await begin(sidecar, "sidelane=release");
    expect(sidecar.uses.activity(0).used).toEqual(["pr-7"]);
  });
});

describe("busy", () => {
  test("counts what still runs for a sandbox that is gone, until nothing does", async () => {
    const app = await startStreaming();
    const sidecar = await startWith({ "pr-7": [app.address], "pr-8": [app.address] });
    const first = await begin(sidecar, "sidelane=pr-7");
    const second = await begin(sidecar, "sidelane=pr-7");
    await begin(sidecar, "sidelane=pr-8");
    expect(sidecar.uses.busy()).toEqual([]);
    sidecar.publish(tableWith({ "pr-8": [app.address] }));
    expect(sidecar.uses.busy()).toEqual([{ sandbox: "pr-7", exchanges: 2 }]);
    app.open[0]?.end();
    await first();
    expect(sidecar.uses.busy()).toEqual([{ sandbox: "pr-7", exchanges: 1 }]);
    sidecar.publish(tableWith({ "pr-8": [app.address], "pr-1": [app.address] }));
    expect(sidecar.uses.busy()).toEqual([{ sandbox: "pr-7", exchanges: 1 }]);
    app.open[1]?.end();
    await second();
    expect(sidecar.uses.busy()).toEqual([]);
  });

  test("counts what runs at endpoints that a sandbox has lost, and not what goes to the new ones", async () => {
    const old = await startStreaming();
    const app = await startStreaming();
    const sidecar = await startWith({ "pr-7": [old.address] });
    await begin(sidecar, "sidelane=pr-7");
    sidecar.publish(tableWith({ "pr-7": [app.address] }));
    await begin(sidecar, "sidelane=pr-7");
    expect(sidecar.uses.busy()).toEqual([{ sandbox: "pr-7", exchanges: 1 }]);
    // As it was before: nothing runs where it should not.
    sidecar.publish(tableWith({ "pr-7": [old.address] }));
    expect(sidecar.uses.busy()).toEqual([{ sandbox: "pr-7", exchanges: 1 }]);
    sidecar.publish(tableWith({}));
    expect(sidecar.uses.busy()).toEqual([{ sandbox: "pr-7", exchanges: 2 }]);
  });

  test("counts connections that have switched protocols", async () => {
    const app = await startStreaming();
    const sidecar = await startWith({ "pr-7": [app.address] });
    const socket = connect(sidecar.port("inbound"), "127.0.0.1");
    socket.write(
      "GET / HTTP/1.1\r\nhost: checkout\r\nbaggage: sidelane=pr-7\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n",
    );
    await once(socket, "data");
    sidecar.publish(tableWith({}));
    expect(sidecar.uses.busy()).toEqual([{ sandbox: "pr-7", exchanges: 1 }]);
    socket.end();
    await once(socket, "close");
    await expect.poll(() => sidecar.uses.busy()).toEqual([]);
  });

  test("counts HTTP/2 streams, each for itself", async () => {
    const open: ServerHttp2Stream[] = [];
    const server = createHttp2Server();
    server.on("stream", (stream) => {
      stream.respond();
      open.push(stream);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => {
      for (const stream of open) stream.session?.destroy();
      server.close();
    });
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const sidecar = await startWith({ "pr-7": [address] });
    const client = connectHttp2(`http://127.0.0.1:${sidecar.port("inbound")}`);
    onTestFinished(() => client.destroy());
    const streams = [1, 2].map(() => client.request({ baggage: "sidelane=pr-7" }));
    await Promise.all(streams.map((stream) => once(stream, "response")));
    expect(sidecar.uses.activity(0).used).toEqual(["pr-7"]);
    sidecar.publish(tableWith({}));
    expect(sidecar.uses.busy()).toEqual([{ sandbox: "pr-7", exchanges: 2 }]);
    open[0]?.end();
    streams[1]?.close();
    for (const stream of streams) stream.resume();
    await expect.poll(() => sidecar.uses.busy()).toEqual([]);
  });
});
