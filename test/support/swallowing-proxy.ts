// A TCP relay that can lose what passes: answers, so that a client does not know whether its request was heard; requests; all.
import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { onTestFinished } from "vitest";

export interface SwallowingProxy {
  readonly endpoint: string;
  /** From now on, on all connections that are open; connections made later are whole. */
  swallowAnswers(): void;
  swallowRequests(): void;
  /** Ends all connections and refuses new ones, until `join`. */
  part(): void;
  join(): void;
}

export async function startSwallowingProxy(target: string): Promise<SwallowingProxy> {
  const at = target.lastIndexOf(":");
  const to = { host: target.slice(0, at), port: Number(target.slice(at + 1)) };
  const pairs = new Set<{ readonly client: Socket; readonly server: Socket; answers: boolean; requests: boolean }>();
  let parted = false;
  const listener = createServer((client) => {
    if (parted) return void client.destroy();
    const server = connect(to);
    const pair = { client, server, answers: true, requests: true };
    pairs.add(pair);
    client.on("data", (bytes) => pair.requests && server.write(bytes));
    server.on("data", (bytes) => pair.answers && client.write(bytes));
    for (const socket of [client, server]) {
      socket.on("error", () => {});
      socket.on("close", () => {
        pairs.delete(pair);
        client.destroy();
        server.destroy();
      });
    }
  }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const endAll = (): void => {
    for (const { client } of pairs) client.destroy();
  };
  onTestFinished(() => {
    listener.close();
    endAll();
  });
  return {
    endpoint: `127.0.0.1:${(listener.address() as AddressInfo).port}`,
    swallowAnswers: () => {
      for (const pair of pairs) pair.answers = false;
    },
    swallowRequests: () => {
      for (const pair of pairs) pair.requests = false;
    },
    part: () => {
      parted = true;
      endAll();
    },
    join: () => (parted = false),
  };
}
