// Attack: an endpoint (or whoever made it answer twice) leaves bytes behind a complete response or on an idle connection.
// Taken for the response to the next request on that connection they would reach another client: response queue poisoning.
// RFC 9112 §9.2: a response without a request ends the connection.
import { expect, test } from "vitest";
import { describeRelay, startTrio } from "../support/sidecar.ts";

const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: checkout\r\n\r\n`;
const FIRST = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst";
const EVIL = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

describeRelay("bytes of an endpoint that nobody asked for", (mode) => {
  test.each([
    ["Content-Length", FIRST + EVIL],
    ["the last chunk", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n${EVIL}`],
    ["the trailers", `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\nx: y\r\n\r\n${EVIL}`],
    ["a body that 304 cannot have", `HTTP/1.1 304 Not Modified\r\nContent-Length: 36\r\n\r\n${EVIL}`],
    ["a body that 204 cannot have", `HTTP/1.1 204 No Content\r\n\r\n${EVIL}`],
    ["one byte", `${FIRST}\n`],
  ])("behind %s reach nobody, and the connection is not used again", async (_, bytes) => {
    const { client, sidecar, backend } = await startTrio(mode);
    client.send(get("/1"));
    const { peer } = await backend.request();
    peer.send(bytes);
    await client.message();
    expect(await peer.ended()).toMatch(/fin|reset/);
    expect(client.text).toBe("");
    const victim = await sidecar.connect();
    victim.send(get("/2"));
    const next = await backend.request();
    next.peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond");
    expect((await victim.message()).body).toBe("second");
  });

  test("behind the response to HEAD", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("HEAD / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    const { peer } = await backend.request();
    peer.send(FIRST);
    expect((await client.message("bodyless")).raw).toBe("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    expect(await peer.ended()).toMatch(/fin|reset/);
    expect(client.text).toBe("");
  });

  test("on an idle connection end it before anyone gets it", async () => {
    const { client, sidecar, backend } = await startTrio(mode);
    client.send(get("/1"));
    const { peer } = await backend.request();
    peer.send(FIRST);
    await client.message();
    peer.send(EVIL);
    expect(await peer.ended()).toMatch(/fin|reset/);
    const victim = await sidecar.connect();
    victim.send(get("/2"));
    const next = await backend.request();
    next.peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond");
    expect((await victim.message()).body).toBe("second");
  });

  test("in the same turn as the next request: it is sent once, on another connection, whatever its method", async () => {
    for (let n = 0; n < 20; n++) {
      const { client, backend } = await startTrio(mode);
      client.send(get("/1"));
      const { peer } = await backend.request();
      peer.send(FIRST);
      await client.message();
      // Both lie in the sidecar's receive buffers before it takes its next turn.
      client.send("POST /once HTTP/1.1\r\nHost: checkout\r\nContent-Length: 2\r\n\r\nhi");
      peer.send(EVIL);
      const next = await backend.accept().then(async (fresh) => ({ fresh, request: await fresh.message() }));
      expect(next.request.start).toBe("POST /once HTTP/1.1");
      next.fresh.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond");
      expect((await client.message()).body).toBe("second");
      expect(peer.text).toBe("");
    }
  });
});
