import { expect, test } from "vitest";
import { swept, untilQuiet } from "../support/quiet.ts";
import { describeRelay, startTrio } from "../support/sidecar.ts";

const MIB = 1024 * 1024;
const TOO_LARGE = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\n\r\ntoo big";
const POST = `POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: ${64 * MIB}\r\n\r\n`;

describeRelay("an answer before the end of the request (RFC 9112 §9.6)", (mode) => {
  test("reaches the client whole, with close, and the connection ends without a reset", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(`${POST}part`);
    const peer = await backend.accept();
    await peer.until("\r\n\r\npart");
    peer.send(TOO_LARGE);
    expect((await client.message()).raw).toBe(
      "HTTP/1.1 413 Content Too Large\r\nContent-Length: 7\r\nconnection: close\r\n\r\ntoo big",
    );
    expect(await client.ended()).toBe("fin");
    // The request was not sent as a whole: its connection cannot be used again.
    expect(await peer.ended()).not.toBeUndefined();
  });

  test("the client may go on sending for a while and still gets it", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(`${POST}part`);
    const peer = await backend.accept();
    await peer.until("\r\n\r\npart");
    client.socket.pause();
    peer.send(TOO_LARGE);
    await peer.ended();
    // Sent while nobody listens any more: with unread bytes at the close the kernel would send a reset over the answer.
    for (let n = 0; n < 8; n++) await client.sendParts([new Uint8Array(64 * 1024)]);
    await untilQuiet(() => client.socket.writableLength);
    client.socket.resume();
    expect((await client.message()).body).toBe("too big");
    expect(await client.ended()).toBe("fin");
  });

  test("timeouts.bodyMs does not end an answer that has begun: the client need not send the rest", async () => {
    const { client, backend } = await startTrio({ ...mode, timeouts: { bodyMs: 150 } });
    client.send("POST / HTTP/1.1\r\nHost: checkout\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    const peer = await backend.accept();
    await peer.until("\r\n\r\n");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfi");
    await client.until("\r\n\r\nfi");
    await swept(400);
    peer.send("ne");
    expect((await client.message()).body).toBe("fine");
    expect(await client.ended()).toBe("fin");
  });

  test("the rest of the body still flows while the answer is not complete", async () => {
    const { client, backend } = await startTrio(mode);
    client.send("POST / HTTP/1.1\r\nHost: checkout\r\nContent-Length: 6\r\n\r\nabc");
    const peer = await backend.accept();
    await peer.until("\r\n\r\nabc");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfi");
    await client.until("\r\n\r\nfi");
    client.send("def");
    await peer.until("\r\n\r\nabcdef");
    peer.send("ne");
    expect((await client.message()).body).toBe("fine");
  });

  test("an endpoint that answers, closes and reads nothing more", async () => {
    const { client, backend } = await startTrio(mode);
    client.send(POST);
    const peer = await backend.accept();
    await peer.until("\r\n\r\n");
    peer.socket.pause();
    client.send(new Uint8Array(64 * 1024));
    await untilQuiet(() => client.socket.writableLength);
    peer.send(TOO_LARGE);
    // Closing with unread bytes makes the kernel send a reset right behind the answer.
    peer.socket.destroySoon();
    expect((await client.message()).status).toBe(413);
    expect(await client.ended()).toBe("fin");
  });

  test("more than limits.lingerBytesMax behind the answer ends the patience", async () => {
    const { client, backend } = await startTrio({ ...mode, limits: { lingerBytesMax: 1000 } });
    client.send(`${POST}part`);
    const peer = await backend.accept();
    await peer.until("\r\n\r\npart");
    peer.send(TOO_LARGE);
    await client.message();
    // A closed connection answers what still comes with a reset.
    while (!client.socket.destroyed) await client.sendParts([new Uint8Array(1024)]);
    expect(client.text).toBe("");
  });
});
