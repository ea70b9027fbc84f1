import type { ConnectionsReport, SigningKeyReport } from "../admin/backend.ts";

/** What `RunningProxy.connections()` tells; proxy and admin know nothing of each other, so they meet here. */
interface ProxyConnections {
  readonly downstream: readonly {
    readonly listener: string;
    readonly direction: "inbound" | "outbound";
    readonly address: string;
    readonly connections: number;
    readonly idle: number;
  }[];
  readonly upstream: readonly {
    readonly endpoint: string;
    readonly idle: number;
    readonly active: number;
    readonly connecting: number;
    readonly waiting: number;
    readonly outstanding: number;
    readonly ejectedMs?: number;
  }[];
  readonly certificates: readonly {
    readonly name: string;
    readonly subject?: string;
    /** Milliseconds since the epoch. */
    readonly notAfterMs?: number;
    readonly error?: string;
  }[];
  readonly signingKeys: readonly SigningKeyReport[];
}

/** The proxy's connections as `GET /connections` shows them. `addresses`: as bound, by listener. */
export function connectionsReport(connections: object, addresses: ReadonlyMap<string, string>): ConnectionsReport {
  const { downstream, upstream, certificates, signingKeys } = connections as ProxyConnections;
  return {
    listeners: downstream.map((listener) => ({
      name: listener.listener,
      direction: listener.direction,
      address: addresses.get(listener.listener) ?? listener.address,
      open: listener.connections,
      // HTTP/1.1 answers in order: one request at a time per connection.
      activeRequests: listener.connections - listener.idle,
    })),
    endpoints: upstream.map(({ endpoint, idle, active, connecting, waiting, outstanding, ejectedMs = 0 }) => ({
      endpoint,
      idle,
      active,
      connecting,
      waiting,
      outstanding,
      ejectedMs,
    })),
    certificates: certificates.map(({ notAfterMs, ...rest }) =>
      notAfterMs === undefined ? rest : { ...rest, notAfter: new Date(notAfterMs).toISOString() },
    ),
    signingKeys,
  };
}
