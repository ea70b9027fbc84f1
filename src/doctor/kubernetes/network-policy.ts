// Whether NetworkPolicies let one pod connect to another, as the API defines them:
// https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/. Policies of other kinds (Cilium's, Calico's,
// AdminNetworkPolicy) are not known here.

import { BlockList, isIPv4 } from "node:net";
import { isMap } from "../../base/is-map.ts";
import type { KubeObject, JsonMap, Labels } from "../../kube/object.ts";
import { labelSelectorSelects } from "../../kube/selectors.ts";

/** One end of a connection. */
export interface PolicyEnd {
  /** "": no pod, such as the API server. */
  readonly namespace: string;
  readonly namespaceLabels: Labels;
  readonly labels: Labels;
  readonly address?: string | undefined;
  /** Container ports by name. */
  readonly portNames?: ReadonlyMap<string, number>;
}

export interface Policy extends KubeObject {
  readonly spec?: JsonMap;
}

/**
 * The names of the policies in whose way a TCP connection is, those of its sender before those of its receiver; none: it is let
 * through.
 */
export function blockingPolicies(
  policies: readonly Policy[],
  from: PolicyEnd,
  to: PolicyEnd,
  port: number,
): readonly string[] {
  return [
    ...blocking(policies, "Egress", from, (rule) => admits(rule, "to", from, to, to, port)),
    ...blocking(policies, "Ingress", to, (rule) => admits(rule, "from", to, from, to, port)),
  ];
}

function blocking(
  policies: readonly Policy[],
  direction: "Ingress" | "Egress",
  own: PolicyEnd,
  letsThrough: (rule: JsonMap) => boolean,
): readonly string[] {
  const field = direction === "Ingress" ? "ingress" : "egress";
  const about = policies.filter(({ metadata, spec = {} }) => {
    const types = Array.isArray(spec["policyTypes"])
      ? spec["policyTypes"]
      : ["Ingress", ...("egress" in spec ? ["Egress"] : [])];
    return (
      metadata.namespace === own.namespace &&
      types.includes(direction) &&
      labelSelectorSelects(spec["podSelector"] ?? {}, own.labels)
    );
  });
  const rules = about.flatMap(({ spec = {} }) => mapsIn(spec[field]));
  return rules.some(letsThrough) ? [] : about.map(({ metadata }) => metadata.name);
}

function admits(
  rule: JsonMap,
  side: "from" | "to",
  own: PolicyEnd,
  other: PolicyEnd,
  receiver: PolicyEnd,
  port: number,
): boolean {
  const [peers, ports] = [mapsIn(rule[side]), mapsIn(rule["ports"])];
  const isPeer = peers.length === 0 || peers.some((peer) => isMeant(peer, own, other));
  return isPeer && (ports.length === 0 || ports.some((one) => hasPort(one, receiver, port)));
}

function isMeant(peer: JsonMap, own: PolicyEnd, other: PolicyEnd): boolean {
  const { podSelector, namespaceSelector, ipBlock } = peer;
  if (isMap(ipBlock)) return other.address !== undefined && isWithin(ipBlock, other.address);
  if (other.namespace === "") return false;
  const isNamespace =
    namespaceSelector === undefined
      ? other.namespace === own.namespace
      : labelSelectorSelects(namespaceSelector, {
          ...other.namespaceLabels,
          "kubernetes.io/metadata.name": other.namespace,
        });
  return isNamespace && (podSelector === undefined || labelSelectorSelects(podSelector, other.labels));
}

function isWithin({ cidr, except }: JsonMap, address: string): boolean {
  const isIn = (range: unknown): boolean => {
    const [net = "", bits = ""] = String(range).split("/");
    const family = isIPv4(address) ? "ipv4" : "ipv6";
    if (isIPv4(net) !== isIPv4(address)) return false;
    const list = new BlockList();
    list.addSubnet(net, Number(bits), family);
    return list.check(address, family);
  };
  return isIn(cidr) && !(Array.isArray(except) && except.some(isIn));
}

function hasPort({ protocol = "TCP", port, endPort }: JsonMap, receiver: PolicyEnd, asked: number): boolean {
  if (protocol !== "TCP") return false;
  if (port === undefined) return true;
  if (typeof port === "string") return receiver.portNames?.get(port) === asked;
  return typeof port === "number" && asked >= port && asked <= (typeof endPort === "number" ? endPort : port);
}

function mapsIn(value: unknown): readonly JsonMap[] {
  return Array.isArray(value) ? value.filter(isMap) : [];
}
