// What kube-proxy does, as iptables rules of the node's namespace: an address of a Service becomes that of one of its endpoints.
import { type EndpointSlice, type Service, keyOf } from "./pod.ts";

type Endpoints = readonly { readonly address: string; readonly hostname?: string }[];

/** The slices of a Service. */
export function slicesOf(service: Service, slices: Iterable<EndpointSlice>): readonly EndpointSlice[] {
  return [...slices].filter(
    ({ metadata, addressType }) =>
      addressType === "IPv4" &&
      metadata.namespace === service.metadata.namespace &&
      metadata.labels?.["kubernetes.io/service-name"] === service.metadata.name,
  );
}

/** Who gets requests: the ready ones; when there is none, those that end but still serve. */
export function endpointsOf({ endpoints }: EndpointSlice): Endpoints {
  const all = endpoints ?? [];
  const ready = all.filter(({ conditions }) => conditions?.ready !== false);
  const taken =
    ready.length > 0 ? ready : all.filter(({ conditions }) => conditions?.serving && conditions.terminating);
  return taken.flatMap(({ addresses, hostname }) =>
    addresses.map((address) => ({ address, ...(hostname !== undefined && { hostname }) })),
  );
}

/** For `iptables-restore --noflush`: the chains SERVICES and HAIRPIN of the table nat. `apiServer`: host:port of `kubernetes`. */
export function serviceRules(services: Iterable<Service>, slices: readonly EndpointSlice[], apiServer: string): string {
  const rules: string[] = [];
  const pods = new Set<string>();
  for (const service of services) {
    const { clusterIP, ports } = service.spec;
    if (clusterIP === undefined || clusterIP === "" || clusterIP === "None" || clusterIP.includes(":")) continue;
    for (const { name, port, protocol = "TCP" } of ports ?? []) {
      const matches = `-A SERVICES -d ${clusterIP}/32 -p ${protocol.toLowerCase()} --dport ${port}`;
      const targets =
        keyOf(service) === "default/kubernetes" ? [apiServer] : targetsOf(service, name ?? "", protocol, slices, pods);
      targets.forEach((target, at) => {
        const left = targets.length - at;
        const chance = left > 1 ? ` -m statistic --mode random --probability ${(1 / left).toFixed(8)}` : "";
        rules.push(`${matches}${chance} -j DNAT --to-destination ${target}`);
      });
      // Refused at once: nothing listens on the node's port 1.
      if (targets.length === 0) rules.push(`${matches} -j REDIRECT --to-ports 1`);
    }
  }
  // A pod that asks its own Service and gets itself would drop an answer from its own address.
  const hairpins = [...pods].map((address) => `-A HAIRPIN -s ${address}/32 -d ${address}/32 -j MASQUERADE`);
  return ["*nat", ":SERVICES -", ":HAIRPIN -", ...rules, ...hairpins, "COMMIT", ""].join("\n");
}

function targetsOf(
  service: Service,
  name: string,
  protocol: string,
  slices: readonly EndpointSlice[],
  pods: Set<string>,
): readonly string[] {
  return slicesOf(service, slices).flatMap((slice) =>
    (slice.ports ?? [])
      .filter((one) => (one.name ?? "") === name && (one.protocol ?? "TCP") === protocol)
      .flatMap(({ port }) =>
        endpointsOf(slice).map(({ address }) => {
          pods.add(address);
          return `${address}:${port}`;
        }),
      ),
  );
}
