// Probes of intercepted ports. Those with a request, HTTP or gRPC, go through the sidecar as they are and tell the truth about
// the app. A tcpSocket probe would not: the sidecar accepts, whether the app does or not. So the sidecar is asked instead.

import type { Operation } from "./json-patch.ts";
import { OPEN_PORT } from "../../kube/injected-pod.ts";
import { isTcp, lastingContainers } from "./pod.ts";
import type { Container, Pod } from "./pod.ts";

const KINDS = ["startupProbe", "readinessProbe", "livenessProbe"] as const;

/** Rewrites the tcpSocket probes of intercepted ports; paths are those of the pod as it came. `intercepted`: how a number is reached. */
export function rewriteProbes(
  pod: Pod,
  intercepted: (port: number | string, own: number) => boolean,
): readonly Operation[] {
  return lastingContainers(pod).flatMap(({ container, pointer }) =>
    KINDS.flatMap((kind): readonly Operation[] => {
      const socket = container[kind]?.tcpSocket;
      // Another host is none of ours.
      if (socket === undefined || (socket.host ?? "") !== "") return [];
      const port = typeof socket.port === "number" ? socket.port : ownNamedPort(container, socket.port);
      if (port === undefined || !intercepted(socket.port, port)) return [];
      const httpGet = { path: `/reach/tcp/${port}`, port: OPEN_PORT, scheme: "HTTP" };
      return [
        { op: "remove", path: `${pointer}/${kind}/tcpSocket` },
        { op: "add", path: `${pointer}/${kind}/httpGet`, value: httpGet },
      ];
    }),
  );
}

/** The kubelet looks only into the probed container. */
function ownNamedPort({ ports = [] }: Container, name: string): number | undefined {
  return ports.find((port) => port.name === name && isTcp(port))?.containerPort;
}
