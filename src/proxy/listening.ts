import type { AddressInfo, Server } from "node:net";
import { type ListenAddress, isNoIpv6, listen } from "../base/listen.ts";
import { parseListenAddress } from "../config/listen-address.ts";

/** What the sockets of one listener have in common. */
export type ListenOptions = Pick<ListenAddress, "reusePort" | "backlog">;

/**
 * Servers made by `create` that listen on `address`: one, but two on `localhost` where there is a ::1, because apps resolve the name
 * to either address, and what is redirected to this machine comes to that of its own family.
 *
 * @throws Error with a sentence that says why the address cannot be had.
 */
export async function openServers(
  address: string,
  create: () => Server,
  options: ListenOptions,
): Promise<readonly Server[]> {
  const parsed = parseListenAddress(address);
  if ("problem" in parsed) throw new Error(parsed.problem);
  const { host, port } = parsed;
  try {
    if (host === "localhost") return await openLoopback(port, create, options);
    return [await opened(create(), { ...options, host, port })];
  } catch (error) {
    throw new Error(listenAdvice(error as NodeJS.ErrnoException), { cause: error });
  }
}

async function openLoopback(port: number, create: () => Server, options: ListenOptions): Promise<readonly Server[]> {
  const first = await opened(create(), { ...options, host: "127.0.0.1", port });
  try {
    const same = (first.address() as AddressInfo).port;
    return [first, await opened(create(), { ...options, host: "::1", port: same })];
  } catch (error) {
    if (isNoIpv6(error)) return [first];
    first.close();
    throw error;
  }
}

async function opened(server: Server, address: ListenAddress): Promise<Server> {
  await listen(server, address);
  return server;
}

function listenAdvice(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "EADDRINUSE":
      return "the address is in use; end the other process or choose another port";
    case "EACCES":
      return "not permitted; choose a port of 1024 or above";
    case "EADDRNOTAVAIL":
      return "this machine has no such address";
    default:
      return error.message;
  }
}
