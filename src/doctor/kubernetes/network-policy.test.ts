import { describe, expect, test } from "vitest";
import type { JsonMap } from "../../kube/object.ts";
import { blockingPolicies } from "./network-policy.ts";
import type { Policy, PolicyEnd } from "./network-policy.ts";

const policy = (name: string, namespace: string, spec: JsonMap): Policy => ({ metadata: { name, namespace }, spec });
const end = (namespace: string, labels: Readonly<Record<string, string>>, address = "10.1.2.3"): PolicyEnd => ({
  namespace,
  namespaceLabels: { team: namespace },
  labels,
  address,
  portNames: new Map([["http", 8080]]),
});
const shop = end("shop", { app: "back" });
const control = end("sidelane", { part: "control" }, "10.9.0.1");
const blocked = (...policies: readonly Policy[]): readonly string[] => blockingPolicies(policies, shop, control, 8080);

describe("a connection is let through", () => {
  test("without a policy, and by policies of other pods, namespaces and directions", () => {
    expect(
      blocked(
        policy("other-pods", "shop", { podSelector: { matchLabels: { app: "front" } }, egress: [] }),
        policy("elsewhere", "bank", { podSelector: {}, policyTypes: ["Egress", "Ingress"] }),
        policy("ingress", "shop", { podSelector: {}, ingress: [] }),
      ),
    ).toEqual([]);
  });

  test.each<[string, JsonMap]>([
    ["everything", {}],
    [
      "the namespace by its name",
      { to: [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "sidelane" } } }] },
    ],
    ["the namespace by a label", { to: [{ namespaceSelector: { matchLabels: { team: "sidelane" } } }] }],
    ["pods of any namespace", { to: [{ namespaceSelector: {}, podSelector: { matchLabels: { part: "control" } } }] }],
    ["a range", { to: [{ ipBlock: { cidr: "10.9.0.0/16", except: ["10.9.1.0/24"] } }] }],
    ["the port", { ports: [{ port: 8080 }] }],
    ["a range of ports", { ports: [{ port: 8000, endPort: 8100 }] }],
    ["the port by its name", { ports: [{ protocol: "TCP", port: "http" }] }],
  ])("by a rule for %s", (_, rule) => {
    expect(
      blocked(
        policy("none", "shop", { podSelector: {}, policyTypes: ["Egress"] }),
        policy("some", "shop", { podSelector: {}, egress: [rule] }),
      ),
    ).toEqual([]);
  });
});

describe("a connection is kept away", () => {
  test.each<[string, JsonMap]>([
    ["pods of the own namespace", { to: [{ podSelector: {} }] }],
    ["other pods", { to: [{ namespaceSelector: {}, podSelector: { matchLabels: { part: "webhook" } } }] }],
    ["a range with an exception", { to: [{ ipBlock: { cidr: "10.9.0.0/16", except: ["10.9.0.0/24"] } }] }],
    ["another family", { to: [{ ipBlock: { cidr: "fd00::/8" } }] }],
    ["another port", { ports: [{ port: 443 }, { port: 8000, endPort: 8079 }, { port: "grpc" }] }],
    ["UDP", { ports: [{ protocol: "UDP", port: 8080 }] }],
  ])("by a rule for %s alone", (_, rule) => {
    expect(blocked(policy("strict", "shop", { podSelector: {}, egress: [rule] }))).toEqual(["strict"]);
  });

  test("by the receiver's namespace, also from whoever is no pod", () => {
    const strict = policy("strict", "sidelane", { podSelector: {}, ingress: [{ from: [{ namespaceSelector: {} }] }] });
    expect(blocked(strict)).toEqual([]);
    const nobody: PolicyEnd = { namespace: "", namespaceLabels: {}, labels: {} };
    expect(blockingPolicies([strict], nobody, control, 8080)).toEqual(["strict"]);
    const open = policy("open", "sidelane", { podSelector: {}, ingress: [{ ports: [{ port: 8080 }] }] });
    expect(blockingPolicies([strict, open], nobody, control, 8080)).toEqual([]);
  });
});
