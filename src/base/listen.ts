// Listening, with the two hosts that are several addresses: `*`, all of both families, and `localhost`, the loopback addresses.

import type { Server } from "node:net";

/** Host that stands for all addresses: of both families where the machine has IPv6, else of IPv4. */
export const ANY_HOST = "*";

/** What `server.listen` takes, where `host` may be `ANY_HOST`. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
  readonly reusePort?: boolean;
  readonly backlog?: number;
}

/** What the kernel says where there is no IPv6, or where it is switched off. */
const NO_IPV6 = new Set(["EAFNOSUPPORT", "EADDRNOTAVAIL", "EINVAL"]);

/** Resolves when it listens; rejects with the system's error. Listeners for errors that the server has are left alone. */
export async function listen(server: Server, address: ListenAddress): Promise<void> {
  if (address.host !== ANY_HOST) return listenOnce(server, address);
  try {
    // A socket on `::` takes IPv4 as well; Node never sets IPV6_V6ONLY unless it is asked to.
    await listenOnce(server, { ...address, host: "::" });
  } catch (error) {
    if (!isNoIpv6(error)) throw error;
    await listenOnce(server, { ...address, host: "0.0.0.0" });
  }
}

/** Whether an error of `listen` says that the machine has no IPv6, or not that address of it. */
export function isNoIpv6(error: unknown): boolean {
  return NO_IPV6.has((error as NodeJS.ErrnoException).code ?? "");
}

function listenOnce(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      server.off("error", failed);
      resolve();
    };
    const failed = (error: Error): void => {
      server.off("listening", done);
      reject(error);
    };
    server.once("error", failed);
    server.once("listening", done);
    server.listen(address);
  });
}
