import { expect, test } from "vitest";
import { describeRelay, startTrio } from "../support/sidecar.ts";

const GET = "GET / HTTP/1.1\r\nHost: checkout\r\n\r\n";

describeRelay("limits", (mode) => {
  test.each([
    ["limits.uriBytesMax", `GET /${"a".repeat(300)} HTTP/1.1\r\nHost: checkout\r\n\r\n`, 414, "uri-too-long"],
    ["limits.uriBytesMax, its line never ending", `GET /${"a".repeat(600)}`, 414, "uri-too-long"],
    [
      "limits.headBytesMax",
      `GET / HTTP/1.1\r\nHost: checkout\r\nX: ${"a".repeat(3000)}\r\n\r\n`,
      431,
      "head-too-large",
    ],
    ["limits.headBytesMax, the head never ending", `GET / HTTP/1.1\r\nX: ${"a".repeat(3000)}`, 431, "head-too-large"],
    [
      "limits.headerCountMax",
      `GET / HTTP/1.1\r\nHost: checkout\r\n${"X: y\r\n".repeat(10)}\r\n`,
      431,
      "head-too-large",
    ],
    [
      "limits.trailerBytesMax",
      `POST / HTTP/1.1\r\nHost: checkout\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ${"a".repeat(300)}\r\n\r\n`,
      431,
      "head-too-large",
    ],
    [
      "limits.chunkExtensionBytesMax",
      `POST / HTTP/1.1\r\nHost: checkout\r\nTransfer-Encoding: chunked\r\n\r\n1;${"a".repeat(300)}\r\nx\r\n0\r\n\r\n`,
      400,
      "ambiguous-framing",
    ],
  ])("%s", async (_, bytes, status, reason) => {
    const { client } = await startTrio({
      ...mode,
      limits: {
        uriBytesMax: 256,
        headBytesMax: 2048,
        headerCountMax: 10,
        trailerBytesMax: 256,
        chunkExtensionBytesMax: 256,
      },
    });
    client.send(bytes);
    const answer = await client.message();
    expect(answer.status).toBe(status);
    expect(answer.field("connection")).toBe("close");
    expect(JSON.parse(answer.body)).toMatchObject({ reason, status });
    expect(await client.ended()).toBe("fin");
  });

  test("what just fits passes", async () => {
    const { client, backend } = await startTrio({
      ...mode,
      limits: { uriBytesMax: 256, headBytesMax: 1024, headerCountMax: 3 },
    });
    const line = `GET /${"a".repeat(255)} HTTP/1.1\r\nHost: checkout\r\nX: y\r\n`;
    client.send(`${line}Z: ${"z".repeat(1024 - line.length - 7)}\r\n\r\n`);
    const { request } = await backend.request();
    expect(request.lines).toHaveLength(4);
  });

  test("heads of nearly limits.headBytesMax pass both ways, whole or byte by byte", async () => {
    const { client, backend } = await startTrio(mode);
    const large = `X-Large: ${"a".repeat(65_000)}\r\n`;
    client.send(`GET / HTTP/1.1\r\nHost: checkout\r\n${large}\r\n`);
    const { request, peer } = await backend.request();
    expect(request.raw).toContain(large);
    peer.send(`HTTP/1.1 200 OK\r\n${large}Content-Length: 2\r\n\r\nok`);
    expect((await client.message()).raw).toContain(large);
    const small = "X-Small: yes\r\n".repeat(20);
    await client.sendParts(`GET /2 HTTP/1.1\r\nHost: checkout\r\n${small}\r\n`.split(""));
    expect((await peer.message()).raw).toContain(small);
    await peer.sendParts(`HTTP/1.1 200 OK\r\n${small}Content-Length: 2\r\n\r\nok`.split(""));
    expect((await client.message()).raw).toContain(small);
  });

  test("limits.connectionsMax: one more gets 503 and an end; it is let in when another one left", async () => {
    const { client, sidecar, backend } = await startTrio({ ...mode, limits: { connectionsMax: 1 } });
    client.send(GET);
    const { peer } = await backend.request();
    const second = await sidecar.connect();
    const answer = await second.message();
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.body)).toMatchObject({ reason: "connection-limit" });
    expect(await second.ended()).toBe("fin");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect((await client.message()).body).toBe("ok");
    client.finish();
    await client.ended();
    client.socket.destroy();
    const third = await sidecar.connect();
    third.send(GET);
    await peer.message();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect((await third.message()).body).toBe("ok");
  });

  test("limits.upstreamConnectionsMax and upstreamWaitingMax: the rest waits, and the rest of the rest gets 503", async () => {
    const { client, sidecar, backend } = await startTrio({
      ...mode,
      limits: { upstreamConnectionsMax: 1, upstreamWaitingMax: 1 },
    });
    client.send(GET);
    const { peer } = await backend.request();
    const second = await sidecar.connect();
    second.send("GET /2 HTTP/1.1\r\nHost: checkout\r\n\r\n");
    const third = await sidecar.connect();
    const fourth = await sidecar.connect();
    third.send(GET);
    fourth.send(GET);
    const statuses = Promise.race([third.message(), fourth.message()]);
    expect((await statuses).status).toBe(503);
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect((await client.message()).body).toBe("ok");
    await peer.message();
    expect(backend.connections).toHaveLength(1);
  });
});
