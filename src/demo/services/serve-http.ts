import { once } from "node:events";
import http from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { ListenAddress } from "./address.ts";
import { self } from "./reply.ts";

/** Answers one request; what it throws becomes a 502, or breaks off an answer that has begun. */
type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** Serves HTTP/1.1; resolves with the port. */
export function serveHttp(handler: Handler, address: ListenAddress): Promise<number> {
  return listen(
    http.createServer((request, response) => {
      handler(request, response).catch((error: unknown) => {
        const cause = error instanceof Error && error.cause instanceof Error ? `: ${error.cause.message}` : "";
        if (response.headersSent) response.destroy();
        else response.writeHead(502).end(`${self.service}: ${String(error)}${cause}\n`);
      });
    }),
    address,
  );
}

/** Listens there; resolves with the port. */
export async function listen(server: http.Server, address: ListenAddress): Promise<number> {
  server.listen(address);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}
