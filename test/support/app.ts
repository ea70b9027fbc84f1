// An app as people write them, on node:http: for tests with real clients on one side and a real server on the other.
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";
import { onTestFinished } from "vitest";
import { bodyStream, streamDigest } from "./stream.ts";

/** A running app. */
export interface App {
  readonly name: string;
}

/** Starts an app; closed when the test is over. */
async function startApp(handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<App> {
  const server = createServer({ keepAliveTimeout: 60_000 }, handler);
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  onTestFinished(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return { name: `127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/**
 * An app for large bodies: POST is answered with the digest and length of its body; GET /<bytes> with a body of that
 * length, chunked when the query says so.
 */
export function startBodyApp(): Promise<App> {
  return startApp((request, response) => void serveBody(request, response));
}

async function serveBody(request: IncomingMessage, response: ServerResponse): Promise<void> {
  try {
    if (request.method === "POST") {
      const { digest, length } = await streamDigest(request);
      response.end(`${digest} ${length}`);
      return;
    }
    const [path = "", query] = (request.url ?? "").slice(1).split("?");
    response.writeHead(200, query === "chunked" ? { trailer: "x-end" } : { "content-length": Number(path) });
    if (query === "chunked") response.addTrailers({ "x-end": "1" });
    await pipeline(bodyStream(Number(path)), response);
  } catch {
    // The client went away.
    response.destroy();
  }
}
