import { KubeConfig } from "@kubernetes/client-node";
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { KubeClient } from "./client.ts";
import { isConflict, isExpired, isNotFound, KubeError } from "./kube-error.ts";

/** A client of a server that answers as the test says. */
async function clientOf(answer: RequestListener, silenceMs = 1000): Promise<KubeClient> {
  const server = createServer(answer);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const config = new KubeConfig();
  const { port } = server.address() as AddressInfo;
  config.loadFromOptions({
    clusters: [{ name: "c", server: `http://127.0.0.1:${port}`, skipTLSVerify: true }],
    users: [{ name: "u", token: "secret" }],
    contexts: [{ name: "x", cluster: "c", user: "u", namespace: "shop" }],
    currentContext: "x",
  });
  const client = new KubeClient(config, { lengthMs: 10_000, silenceMs });
  onTestFinished(() => {
    client.close();
    server.closeAllConnections();
    server.close();
  });
  return client;
}

const json =
  (status: number, value: unknown): RequestListener =>
  (_, response) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(value));
  };

async function failure(promise: Promise<unknown>): Promise<KubeError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(KubeError);
  return error as KubeError;
}

describe("a request", () => {
  test("says who asks, and what was refused is told in the API server's words", async () => {
    const asked: IncomingMessage[] = [];
    const client = await clientOf((request, response) => {
      asked.push(request);
      json(403, { reason: "Forbidden", message: "pods is forbidden" })(request, response);
    });
    const error = await failure(client.get("/api/v1/pods"));
    expect(error).toMatchObject({ status: 403, reason: "Forbidden" });
    expect(error.message).toContain("pods is forbidden");
    expect(error.message).toContain("ClusterRole");
    expect(asked[0]?.headers.authorization).toBe("Bearer secret");
    expect(client.namespace).toBe("shop");
  });

  test("tells what is gone, in conflict and too old apart; an answer that is none is no crash", async () => {
    expect(isNotFound(await failure((await clientOf(json(404, {}))).get("/x")))).toBe(true);
    expect(isConflict(await failure((await clientOf(json(409, null))).get("/x")))).toBe(true);
    expect(isExpired(await failure((await clientOf(json(410, 7))).get("/x")))).toBe(true);
    expect(await (await clientOf(json(404, {}))).find("/x")).toBeUndefined();
    expect(await (await clientOf(json(404, {}))).delete("/x")).toBe(false);
    const html = await clientOf((_, response) => void response.end("<html>"));
    expect((await failure(html.get("/x"))).message).toContain("GET /x");
    const cut = await clientOf((_, response) => {
      response.writeHead(200, { "content-length": 100 });
      response.write("{");
      response.destroy();
    });
    expect(await failure(cut.get("/x"))).toMatchObject({ status: 0, reason: "Unreachable" });
  });

  test("that takes too long is given up", async () => {
    const client = await clientOf(() => {});
    const error = await failure(client.request({ method: "GET", path: "/x", withinMs: 50 }));
    expect(error).toMatchObject({ status: 0, reason: "Unreachable" });
  });
});

describe("a list", () => {
  test("has all pages, and is asked for at once when its moment was forgotten in between", async () => {
    const queries: URLSearchParams[] = [];
    const client = await clientOf((request, response) => {
      const query = new URL(`http://x${request.url}`).searchParams;
      queries.push(query);
      if (query.get("continue") === "two") return json(410, { reason: "Expired" })(request, response);
      const more = query.has("limit") ? { continue: query.has("continue") ? "two" : "one" } : {};
      const items = [{ metadata: { name: query.get("continue") ?? "first" } }];
      return json(200, { metadata: { resourceVersion: "7", ...more }, items })(request, response);
    });
    const { items, resourceVersion } = await client.list("/api/v1/pods", { labelSelector: "a=b" });
    expect(resourceVersion).toBe("7");
    expect(items).toHaveLength(1);
    expect(queries.map((query) => query.get("continue"))).toEqual([null, "one", "two", null]);
    expect(queries.every((query) => query.get("labelSelector") === "a=b")).toBe(true);
  });
});

describe("a watch", () => {
  async function collect(client: KubeClient, signal?: AbortSignal): Promise<readonly string[]> {
    const seen: string[] = [];
    const selection = signal === undefined ? {} : { signal };
    for await (const { type, object } of client.watch<{ readonly n: number }>("/api/v1/pods", "5", selection)) {
      seen.push(`${type} ${object.n}`);
    }
    return seen;
  }

  test("gives events until the server ends it", async () => {
    const client = await clientOf((request, response) => {
      expect(request.url).toContain("resourceVersion=5");
      expect(request.url).toContain("allowWatchBookmarks=true");
      response.write('{"type":"ADDED","object":{"n":1}}\n{"type":"BOOK');
      response.end('MARK","object":{"n":2}}\n');
    });
    expect(await collect(client)).toEqual(["ADDED 1", "BOOKMARK 2"]);
  });

  test("says when it cannot go on from its version, in the head or in the stream", async () => {
    const gone = { kind: "Status", code: 410, reason: "Expired", message: "too old resource version" };
    expect(isExpired(await failure(collect(await clientOf(json(410, gone)))))).toBe(true);
    const inside = await clientOf(
      (_, response) => void response.end(`${JSON.stringify({ type: "ERROR", object: gone })}\n`),
    );
    expect(isExpired(await failure(collect(inside)))).toBe(true);
    const garbage = await clientOf((_, response) => void response.end("<html>\n"));
    expect(await failure(collect(garbage))).toMatchObject({ status: 0 });
  });

  test("whose connection is only half open is given up", async () => {
    const client = await clientOf((_, response) => void response.write('{"type":"ADDED","object":{"n":1}}\n'), 50);
    expect((await failure(collect(client))).message).toContain("silent");
  });

  test("ends quietly when it is told to", async () => {
    const client = await clientOf((_, response) => void response.write('{"type":"ADDED","object":{"n":1}}\n'));
    const ending = new AbortController();
    for await (const event of client.watch("/api/v1/pods", "5", { signal: ending.signal })) {
      expect(event.type).toBe("ADDED");
      ending.abort();
    }
    expect(await collect(client, ending.signal)).toEqual([]);
  });
});
