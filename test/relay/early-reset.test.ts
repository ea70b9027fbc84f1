// Accident: an endpoint answers an upload early and closes. Closing with unread bytes becomes a reset, so that the next
// write to it fails while its answer still lies unread in the kernel (RFC 9112 §9.6). Without direct writes Node ends the
// connection on the failed write and the answer is lost (502 instead): the price of the public way.
import { expect, test } from "vitest";
import { startTrio } from "../support/sidecar.ts";

const MIB = 1024 * 1024;

test("an endpoint that answers and resets while the body still comes: the client gets the answer", async () => {
  const { client, backend } = await startTrio();
  client.send(`POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: ${64 * MIB}\r\n\r\n`);
  client.send(new Uint8Array(MIB));
  const peer = await backend.accept();
  await peer.until("\r\n\r\n");
  peer.socket.pause();
  peer.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\n\r\ntoo big");
  peer.socket.destroySoon();
  expect((await client.message()).body).toBe("too big");
  expect(await client.ended()).toBe("fin");
});

test("a response delimited by the end of the connection is never taken for complete when the request could not be sent", async () => {
  const { client, backend } = await startTrio();
  client.send(`POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: ${64 * MIB}\r\n\r\n`);
  client.send(new Uint8Array(MIB));
  const peer = await backend.accept();
  await peer.until("\r\n\r\n");
  peer.socket.pause();
  peer.send("HTTP/1.1 200 OK\r\n\r\nperhaps a part");
  await peer.sendParts([""]);
  peer.abort();
  expect(await client.ended()).toBe("reset");
});
