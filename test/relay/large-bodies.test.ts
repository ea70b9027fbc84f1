import { type IncomingMessage, request as httpRequest } from "node:http";
import { pipeline } from "node:stream/promises";
import { Client, request as undiciRequest } from "undici";
import { expect, onTestFinished, test } from "vitest";
import { startBodyApp } from "../support/app.ts";
import { type WriteMode, describeRelay, startSidecar } from "../support/sidecar.ts";
import { bodyDigest, bodyStream, streamDigest } from "../support/stream.ts";

const LENGTH = 40 * 1024 * 1024 + 12_345;
const expected = bodyDigest(LENGTH);

async function sidecarUrl(mode: WriteMode): Promise<string> {
  const app = await startBodyApp();
  const sidecar = await startSidecar({ ...mode, target: app.name });
  return `http://127.0.0.1:${sidecar.port()}`;
}

describeRelay("large bodies of real clients and a real server arrive unchanged", (mode) => {
  test.each(["", "?chunked"])("undici, both ways%s", async (query) => {
    const url = await sidecarUrl(mode);
    const client = new Client(url);
    onTestFinished(() => client.close());
    const got = await client.request({ method: "GET", path: `/${LENGTH}${query}` });
    expect(await streamDigest(got.body)).toEqual({ digest: expected, length: LENGTH });
    expect(got.trailers).toEqual(query === "" ? {} : { "x-end": "1" });
    const headers: Record<string, string> = query === "" ? { "content-length": String(LENGTH) } : {};
    const sent = await client.request({ method: "POST", path: "/", headers, body: bodyStream(LENGTH) });
    expect(await sent.body.text()).toBe(`${expected} ${LENGTH}`);
  });

  test("fetch, both ways", async () => {
    const url = await sidecarUrl(mode);
    const got = await fetch(`${url}/${LENGTH}`);
    if (got.body === null) throw new Error("no body");
    expect(await streamDigest(got.body)).toEqual({ digest: expected, length: LENGTH });
    const body = ReadableStream.from(bodyStream(LENGTH));
    const sent = await fetch(url, { method: "POST", body, duplex: "half" });
    expect(await sent.text()).toBe(`${expected} ${LENGTH}`);
  });

  test("node:http, both ways, with Expect: 100-continue", async () => {
    const url = await sidecarUrl(mode);
    const got = await new Promise<IncomingMessage>((resolve, reject) => {
      httpRequest(`${url}/${LENGTH}?chunked`, resolve).on("error", reject).end();
    });
    expect(await streamDigest(got)).toEqual({ digest: expected, length: LENGTH });
    const upload = httpRequest(url, { method: "POST", headers: { expect: "100-continue", "content-length": LENGTH } });
    upload.flushHeaders();
    await new Promise((resolve) => upload.once("continue", resolve));
    const answered = new Promise<IncomingMessage>((resolve) => upload.once("response", resolve));
    await pipeline(bodyStream(LENGTH), upload);
    const chunks: Buffer[] = [];
    for await (const chunk of await answered) chunks.push(chunk as Buffer);
    expect(Buffer.concat(chunks).toString()).toBe(`${expected} ${LENGTH}`);
  });

  test("many at once", async () => {
    const url = await sidecarUrl(mode);
    const length = 2_000_000;
    const digest = bodyDigest(length);
    const all = await Promise.all(
      Array.from({ length: 24 }, async (_, n) => {
        if (n % 2 === 0) {
          const { body } = await undiciRequest(`${url}/${length}${n % 4 === 0 ? "?chunked" : ""}`);
          return (await streamDigest(body)).digest;
        }
        const { body } = await undiciRequest(url, { method: "POST", body: bodyStream(length) });
        return (await body.text()).split(" ")[0];
      }),
    );
    expect(all).toEqual(Array.from({ length: 24 }, () => digest));
  });
});
