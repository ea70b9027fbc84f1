import { expect, test } from "vitest";
import { describeRelay, startTrio } from "../support/sidecar.ts";

const FIELDS = [
  "hOsT: checkout",
  "X-Dup: 1",
  "x-dup: 2",
  "X-Empty:",
  "X-Spaces:   a  b\t ",
  "X-Bytes: \x80\xff\xe9",
  "Cookie: a=1",
  "baggage: sidelane=none,other=1;p=2",
  "Cookie: b=2",
  "X-DUP: 3",
  "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  "__proto__: x",
];

describeRelay("bytes stay as they came", (mode) => {
  test("names, values, case, order and duplicates of a request; Via is added at the end", async () => {
    const { client, backend } = await startTrio({ ...mode, instanceId: "1f" });
    client.send(`QUERY /a%20b/../c?x=1&x=2;y=%zz HTTP/1.1\r\n${FIELDS.join("\r\n")}\r\n\r\n`);
    const { request } = await backend.request();
    expect(request.raw).toBe(
      `QUERY /a%20b/../c?x=1&x=2;y=%zz HTTP/1.1\r\n${FIELDS.join("\r\n")}\r\nvia: 1.1 sidelane-1f-inbound\r\n\r\n`,
    );
  });

  test("names, values, case, order, duplicates and the reason phrase of a response; nothing is added", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    const { peer } = await backend.request();
    const answer =
      "HTTP/1.1 299 Quite \xe9 Fine\r\nSet-Cookie: a=1\r\nServer: theirs\r\nSET-COOKIE: b=2\r\nX:\r\ncOnTeNt-LeNgTh: 3\r\nVia: 1.0 other\r\n\r\n\x00\xff\r";
    peer.send(answer);
    expect((await client.message()).raw).toBe(answer);
  });

  test("a response without reason phrase, with and without the space before it", async () => {
    const { client, backend } = await startTrio(mode);
    for (const answer of ["HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n"]) {
      client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
      const peer = backend.connections[0] ?? (await backend.accept());
      await peer.message();
      peer.send(answer);
      expect((await client.message()).raw).toBe(answer);
    }
  });

  test("an existing Via is kept as it is and another line is added behind it", async () => {
    const { client, backend } = await startTrio({ ...mode, instanceId: "1f" });
    client.send("GET / HTTP/1.1\r\nVia: 1.0 first\r\nHost: checkout\r\nVIA: 1.1 second\r\nX: y\r\n\r\n");
    const { request } = await backend.request();
    expect(request.lines).toEqual([
      "Via: 1.0 first",
      "Host: checkout",
      "VIA: 1.1 second",
      "X: y",
      "via: 1.1 sidelane-1f-inbound",
    ]);
  });
});
