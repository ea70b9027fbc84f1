/** What a sidecar has seen of gRPC. */
export interface GrpcCount {
  /** Connections that callers have open to it. */
  readonly connections: number;
  /** Calls that were answered with OK, by destination: `baseline` or a sandbox. */
  readonly calls: ReadonlyMap<string, number>;
}

/** Asks the admin address of a sidecar. */
export async function countGrpc(admin: string): Promise<GrpcCount> {
  const [connections, metrics] = await Promise.all([
    fetch(`http://${admin}/connections`).then((answer) => answer.json() as Promise<Connections>),
    fetch(`http://${admin}/metrics`).then((answer) => answer.text()),
  ]);
  const calls = new Map<string, number>();
  const lines = metrics.matchAll(/^sidelane_grpc_requests_total\{.*destination="([^"]*)".*grpc_status="0"\} (\d+)$/gmu);
  for (const [, destination = "", count] of lines) {
    calls.set(destination, (calls.get(destination) ?? 0) + Number(count));
  }
  return { connections: connections.listeners.reduce((sum, { open }) => sum + open, 0), calls };
}

interface Connections {
  readonly listeners: readonly { readonly open: number }[];
}
