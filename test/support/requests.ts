// Requests as bytes, and small things that tests of resilience say often.
import { connect, createServer } from "node:net";
import { onTestFinished, vi } from "vitest";
import { Backend } from "./backend.ts";
import type { Sidecar } from "./sidecar.ts";

/** A GET request. `lines`: further field lines. */
export function get(path = "/", ...lines: readonly string[]): string {
  return request("GET", path, undefined, ...lines);
}

/** A request; with a body, its Content-Length. */
export function request(method: string, path: string, body: string | undefined, ...lines: readonly string[]): string {
  const all = ["host: checkout", ...lines, ...(body === undefined ? [] : [`content-length: ${body.length}`])];
  return `${method} ${path} HTTP/1.1\r\n${all.map((line) => `${line}\r\n`).join("")}\r\n${body ?? ""}`;
}

/**
 * A port of this machine on which nobody listens, and nobody will by chance: below those that the system gives to who listens on
 * port 0 (from 32768 on Linux, 49152 elsewhere), as all servers of tests do.
 */
export async function deadPort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!free) continue;
    await new Promise((resolve) => {
      server.close(resolve);
    });
    return port;
  }
}

/** A scripted backend on a certain port, for one that comes back. */
export async function startBackendAt(port: number, host = "127.0.0.1"): Promise<Backend> {
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  await new Promise<void>((resolve) => {
    server.listen(port, host, resolve);
  });
  const backend = new Backend(server);
  onTestFinished(() => backend.close());
  return backend;
}

/** Whether somebody listens on the port. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** Resolves when `check` no longer throws; for conditions that no event announces. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { interval: 10, timeout: 15_000 });
}

/** What `GET /connections` says of one endpoint; undefined when the process does not know it. */
export interface EndpointState {
  readonly endpoint: string;
  readonly idle: number;
  readonly active: number;
  readonly connecting: number;
  readonly waiting: number;
  readonly outstanding: number;
  readonly ejectedMs: number;
}

/** The state of an endpoint, by name or the only one. */
export function endpointState(sidecar: Sidecar, name?: string): EndpointState | undefined {
  const { upstream } = sidecar.proxy.connections() as { readonly upstream: readonly EndpointState[] };
  return name === undefined ? upstream[0] : upstream.find(({ endpoint }) => endpoint === name);
}

/** Open connections of clients. */
export function openConnections(sidecar: Sidecar): number {
  const { downstream } = sidecar.proxy.connections() as { readonly downstream: readonly { connections: number }[] };
  return downstream.reduce((sum, { connections }) => sum + connections, 0);
}

/** The gauge `sidelane_upstream_connections`. */
export async function upstreamGauges(sidecar: Sidecar): Promise<Record<string, number>> {
  const name = "sidelane_upstream_connections";
  const [idle, active, connecting] = await Promise.all(
    ["idle", "active", "connecting"].map((state) => sidecar.metric(name, { state })),
  );
  return { idle: idle ?? 0, active: active ?? 0, connecting: connecting ?? 0 };
}
