// Attack: a proxy that believes a connection has switched protocols, or where it does, while the server behind it does not, or
// the other way round. Whoever sends bytes into that gap talks to the server past every decision and check.
import { expect, test } from "vitest";
import { ok, startBackend } from "../support/backend.ts";
import { untilQuiet } from "../support/quiet.ts";
import { get } from "../support/requests.ts";
import { describeRelay, startTrio } from "../support/sidecar.ts";
import { switching, upgradeRequest } from "../support/upgrade.ts";

const SMUGGLED = "GET /admin HTTP/1.1\r\nHost: checkout\r\n\r\n";

describeRelay("smuggling by Upgrade", (mode) => {
  test.each([
    ["Content-Length", `Content-Length: ${SMUGGLED.length}`, SMUGGLED],
    ["chunks", "Transfer-Encoding: chunked", `${SMUGGLED.length.toString(16)}\r\n${SMUGGLED}\r\n0\r\n\r\n`],
    ["both", `Transfer-Encoding: chunked\r\nContent-Length: ${SMUGGLED.length}`, SMUGGLED],
  ])(
    "a request with a body (%s) is refused: servers differ on where the new protocol begins",
    async (_, line, body) => {
      const { client, backend } = await startTrio(mode);
      client.send(`${upgradeRequest("/", "websocket", ...line.split("\r\n"))}${body}`);
      const answer = await client.message();
      expect(answer.status).toBe(400);
      expect(JSON.parse(answer.body)).toMatchObject({ reason: "ambiguous-framing" });
      expect(await client.ended()).toBe("fin");
      expect(backend.connections).toHaveLength(0);
    },
  );

  test.each([
    ["a protocol that was not offered", switching("foo")],
    ["one that was and one that was not", switching("websocket, foo")],
    ["no protocol", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n"],
    ["an empty list", switching("")],
    ["nonsense", switching("websocket;v=1")],
    ["a protocol without the connection option", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"],
    ["a version that was not offered", switching("websocket/2")],
    ["h2c", switching("h2c")],
    ["an answer of HTTP/1.0", "HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"],
  ])("a 101 that names %s is not believed", async (_, answer) => {
    const { client, backend } = await startTrio(mode);
    client.send(upgradeRequest("/", "websocket, h2c"));
    const { request, peer } = await backend.request();
    expect(request.field("upgrade")).toBe("websocket");
    peer.send(`${answer}HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled`);
    expect((await client.message()).status).toBe(502);
    await peer.ended();
    expect(client.text).toBe("");
  });

  test.each([
    ["no upgrade", get()],
    ["Upgrade without the connection option", "GET / HTTP/1.1\r\nHost: checkout\r\nUpgrade: websocket\r\n\r\n"],
    ["the connection option without Upgrade", "GET / HTTP/1.1\r\nHost: checkout\r\nConnection: Upgrade\r\n\r\n"],
    ["h2c alone", upgradeRequest("/", "h2c")],
    ["TLS alone", upgradeRequest("/", "TLS/1.2")],
    [
      "HTTP/1.0, which has no upgrades",
      "GET / HTTP/1.0\r\nHost: checkout\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
  ])("a 101 is not believed when it was not asked for: %s", async (_, request) => {
    const { client, backend } = await startTrio(mode);
    client.send(request);
    const { request: forwarded, peer } = await backend.request();
    expect(forwarded.raw).not.toMatch(/upgrade/i);
    peer.send(`${switching()}smuggled`);
    expect((await client.message()).status).toBe(502);
    await peer.ended();
    expect(client.text).toBe("");
  });

  test("a request behind an upgrade that is refused is a request: decided by its own key, sent to its own endpoint", async () => {
    const sandbox = await startBackend();
    const table = {
      services: { checkout: {} },
      sandboxes: { "pr-7": { services: { checkout: [sandbox.name] } } },
    };
    const { client, backend } = await startTrio({ ...mode, table });
    // The version that no server knows: a proxy that goes by the request alone would tunnel now.
    client.send(
      `${upgradeRequest("/", "websocket", "Sec-WebSocket-Version: 777", "baggage: sidelane=pr-7")}${get("/second")}`,
    );
    const { peer } = await sandbox.request();
    const received = peer.bytesReceived;
    expect(await untilQuiet(() => peer.bytesReceived)).toBe(received);
    peer.send("HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n");
    expect((await client.message()).status).toBe(426);
    const second = await backend.request();
    expect(second.request.start).toBe("GET /second HTTP/1.1");
    second.peer.send(ok("by its own key"));
    expect((await client.message()).body).toBe("by its own key");
    expect(peer.bytesReceived).toBe(received);
  });

  test("bytes on the endpoint's connection before the upgrade has left are never the client's", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(get());
    const { peer } = await backend.request();
    peer.send(`${ok("first")}${switching()}smuggled`);
    expect((await client.message()).body).toBe("first");
    client.send(upgradeRequest());
    const { peer: other } = await backend.request();
    other.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    expect((await client.message()).status).toBe(403);
  });
});
