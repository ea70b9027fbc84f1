// Connections of probes: to listeners of this process, and to endpoints where nothing else can be asked.
import { connectionCauses } from "../../base/connection-causes.ts";
import { type Socket, connect as connectPlain } from "node:net";
import { parseEndpoint } from "../../routing/endpoint-name.ts";
import { NoAnswerError } from "./answer.ts";

/** How a connection is secured: with the listener's own certificate, whoever issued it, since it does not leave the machine. */
export interface DialTls {
  /** Offered by ALPN (RFC 7301). */
  readonly protocol: "h2" | "http/1.1";
  /** Name asked for (SNI). */
  readonly name: string;
}

/** Connects; rejects with a sentence that names the address. The caller ends the connection. */
export async function dial(address: string, tls: DialTls | undefined, signal: AbortSignal): Promise<Socket> {
  const parsed = parseEndpoint(address);
  if ("problem" in parsed) throw new NoAnswerError(`${address}: ${parsed.problem}`, false);
  const to = { host: reachable(parsed.host), port: parsed.port };
  // Most sidecars have no TLS, and Node's takes some memory.
  const socket = tls === undefined ? connectPlain(to) : (await import("node:tls")).connect(tlsOptions(to, tls));
  try {
    await opened(socket, tls === undefined ? "connect" : "secureConnect", signal);
  } catch (error) {
    socket.destroy();
    throw new NoAnswerError(`connecting to ${address}: ${connectText(error)}`, false);
  }
  return socket;
}

function tlsOptions(to: { readonly host: string; readonly port: number }, { protocol, name }: DialTls) {
  const isName = !name.includes(":") && !/^[0-9.]+$/u.test(name);
  return { ...to, ALPNProtocols: [protocol], rejectUnauthorized: false, ...(isName ? { servername: name } : {}) };
}

function opened(socket: Socket, event: "connect" | "secureConnect", signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = (): void => reject(new Error("no connection in time"));
    if (signal.aborted) late();
    signal.addEventListener("abort", late, { once: true });
    socket.once(event, () => resolve());
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("closed while connecting")));
    // For the rest of its life: whoever reads hears of errors as well.
    socket.on("error", () => {});
  });
}

/** A listener on all addresses is reached on this machine. */
function reachable(host: string): string {
  // A socket on `::` takes IPv4 as well, and that is there even where IPv6 has been switched off.
  return host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
}

const texts: Readonly<Record<string, string>> = { ...connectionCauses, ETIMEDOUT: "no answer" };

/** Why no connection was made. */
function connectText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return texts[(error as NodeJS.ErrnoException).code ?? ""] ?? error.message;
}
