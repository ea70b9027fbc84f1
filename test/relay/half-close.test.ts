import { expect, test } from "vitest";
import { describeRelay, startTrio } from "../support/sidecar.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

describeRelay("a client that closes its sending side", (mode) => {
  test("behind its request still gets the answer", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: 2\r\n\r\nhi");
    client.finish();
    const { peer } = await backend.request();
    peer.send(OK.slice(0, -1));
    await client.until("\r\n\r\no");
    peer.send("k");
    expect((await client.message()).body).toBe("ok");
    expect(await client.ended()).toBe("fin");
  });

  test("waits no longer than timeouts.halfClosedMs", async () => {
    const { client, backend } = await startTrio({ ...mode, timeouts: { halfClosedMs: 100 } });
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    client.finish();
    const { peer } = await backend.request();
    expect(await client.ended()).toBe("reset");
    expect(await peer.ended()).toBe("fin");
  });

  test("before any request is answered by an end", async () => {
    const { client } = await startTrio(mode);
    client.finish();
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("");
  });

  test.each(["GET / HT", "GET / HTTP/1.1\r\nHost: checkout\r\n"])("within a head gets no answer: %j", async (head) => {
    const { client, backend } = await startTrio(mode);
    client.send(head);
    client.finish();
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("");
    expect(backend.connections).toHaveLength(0);
  });

  test.each(["Content-Length: 10\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"])(
    "within a body: the endpoint does not take it for complete: %j",
    async (rest) => {
      const { client, backend } = await startTrio(mode);
      client.send(`POST / HTTP/1.1\r\nHost: checkout\r\n${rest}`);
      const peer = await backend.accept();
      await peer.until("abc");
      client.finish();
      await peer.ended();
      expect(peer.text).not.toContain("0\r\n\r\n");
      expect(await client.ended()).toBe("reset");
    },
  );
});
