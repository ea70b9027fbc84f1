// Attack: the same bytes cut into other TCP segments. A proxy whose parser loses its place between two reads takes part of
// a body for a request, or the other way round. Here: any cut of a pipelined stream gives the same answers and the app
// sees the same requests; and any cut of the app's answers gives the client the same bytes.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ok, startAnswering } from "../support/backend.ts";
import { Peer } from "../support/peer.ts";
import { describeRelay, startSidecar } from "../support/sidecar.ts";

const RUNS = 40;

const token = fc.stringMatching(/^[a-z]{1,12}$/);
const body = fc.stringMatching(/^[ -~]{0,40}$/);

/** One request and what the app has to see of it. */
const anyRequest = fc.oneof(
  token.map((path) => ({ text: `GET /${path} HTTP/1.1\r\nHost: checkout\r\n\r\n`, seen: `GET /${path} HTTP/1.1|` })),
  fc.tuple(token, body).map(([path, content]) => ({
    text: `POST /${path} HTTP/1.1\r\nX-${path}: y\r\nHost: checkout\r\nContent-Length: ${content.length}\r\n\r\n${content}`,
    seen: `POST /${path} HTTP/1.1|${content}`,
  })),
  fc.tuple(token, fc.array(body, { maxLength: 4 }), fc.boolean()).map(([path, chunks, trailer]) => ({
    text: `PUT /${path} HTTP/1.1\r\nHost: checkout\r\nTransfer-Encoding: chunked\r\n\r\n${chunked(chunks, trailer)}`,
    seen: `PUT /${path} HTTP/1.1|${chunks.join("")}`,
  })),
);

function chunked(parts: readonly string[], trailer: boolean): string {
  const chunks = parts.filter((part) => part !== "").map((part) => `${part.length.toString(16)};x=y\r\n${part}\r\n`);
  return `${chunks.join("")}0\r\n${trailer ? "x-sum: 1\r\n" : ""}\r\n`;
}

/** `text` cut at the given places. */
function cut(text: string, places: readonly number[]): string[] {
  const sorted = [...new Set(places.map((place) => place % (text.length + 1)))].toSorted((a, b) => a - b);
  return [0, ...sorted].map((start, n) => text.slice(start, sorted[n])).filter((part) => part !== "");
}

const anyCuts = fc.array(fc.nat(5000), { maxLength: 30 });

describeRelay("any cut of a stream into segments", (mode) => {
  test("of requests gives the same answers", async () => {
    const backend = await startAnswering((request) => ok(`${request.start}|${request.body}`));
    const sidecar = await startSidecar({ ...mode, target: backend.name });
    await fc.assert(
      fc.asyncProperty(fc.array(anyRequest, { minLength: 1, maxLength: 8 }), anyCuts, async (requests, cuts) => {
        const client = await Peer.connect(sidecar.port());
        const sending = client.sendParts(cut(requests.map(({ text }) => text).join(""), cuts));
        for (const { seen } of requests) expect((await client.message()).body).toBe(seen);
        await sending;
        client.finish();
        expect(await client.ended()).toBe("fin");
        expect(client.text).toBe("");
      }),
      { numRuns: RUNS },
    );
  });

  test("of requests with a malformed one among them gives the same answers up to it", async () => {
    const backend = await startAnswering((request) => ok(`${request.start}|${request.body}`));
    const sidecar = await startSidecar({ ...mode, target: backend.name });
    const bad = "GET / HTTP/1.1\r\nHost: checkout\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    await fc.assert(
      fc.asyncProperty(fc.array(anyRequest, { maxLength: 5 }), anyRequest, anyCuts, async (before, after, cuts) => {
        const client = await Peer.connect(sidecar.port());
        const text = before.map((request) => request.text).join("") + bad + after.text;
        const sending = client.sendParts(cut(text, cuts));
        for (const { seen } of before) expect((await client.message()).body).toBe(seen);
        expect((await client.message()).status).toBe(400);
        await sending;
        client.finish();
        expect(await client.ended()).toBe("fin");
        expect(client.text).toBe("");
      }),
      { numRuns: RUNS },
    );
  });

  test("of a response gives the same bytes", async () => {
    const bodies = fc.oneof(
      body.map((content) => `Content-Length: ${content.length}\r\n\r\n${content}`),
      fc
        .tuple(fc.array(body, { maxLength: 4 }), fc.boolean())
        .map(([parts, trailer]) => `Transfer-Encoding: chunked\r\n\r\n${chunked(parts, trailer)}`),
    );
    let answer: readonly string[] = [];
    const backend = await startAnswering((_, peer) => {
      void peer.sendParts(answer);
      return "";
    });
    const sidecar = await startSidecar({ ...mode, target: backend.name });
    const client = await sidecar.connect();
    await fc.assert(
      fc.asyncProperty(bodies, fc.boolean(), anyCuts, async (rest, interim, cuts) => {
        const text = `${interim ? "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" : ""}HTTP/1.1 200 OK\r\nX: y\r\n${rest}`;
        answer = cut(text, cuts);
        client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
        const raw = (interim ? (await client.message()).raw : "") + (await client.message()).raw;
        expect(raw).toBe(text.replaceAll(";x=y", ""));
      }),
      { numRuns: RUNS },
    );
  });
});
