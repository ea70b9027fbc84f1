import { RefusedError } from "../base/refused-error.ts";
import { once } from "node:events";
import { createServer } from "node:http";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { ready } from "./ready.ts";

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** `host:port` of a server that answers so. */
async function serve(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  closing.push(() => server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("200 of /ready is 0", async () => {
  const asked: string[] = [];
  const address = await serve((request, response) => {
    asked.push(request.url ?? "");
    response.end('{"ready":true,"reasons":[]}');
  });
  expect(await ready(address)).toBe(0);
  expect(await ready(`http://${address}/`)).toBe(0);
  expect(asked).toEqual(["/ready", "/ready"]);
});

test("503 says what is missing", async () => {
  const reasons = [
    { reason: "no-table", detail: "no table has come yet" },
    { reason: "draining", detail: "the sidecar is shutting down" },
  ];
  const address = await serve((_, response) => {
    response.writeHead(503).end(JSON.stringify({ ready: false, reasons }));
  });
  await expect(ready(address)).rejects.toThrow(
    new RefusedError(`${address} is not ready: no table has come yet; the sidecar is shutting down`),
  );
});

test("whatever else answers there is not ready", async () => {
  const address = await serve((_, response) => response.writeHead(404).end("<html>"));
  await expect(ready(address)).rejects.toThrow(`${address} is not ready: it answers 404`);
});

test("nobody there is a sentence, too", async () => {
  const address = await serve(() => {});
  for (const close of closing.splice(0)) close();
  await expect(ready(address)).rejects.toThrow(/gives no answer: .*ECONNREFUSED/u);
});
