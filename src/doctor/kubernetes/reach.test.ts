import { expect, test } from "vitest";
import { Findings } from "../finding.ts";
import type { Pod } from "./pod.ts";
import { examinePolicies } from "./reach.ts";

const config = (service: string): string =>
  `service: ${service}\nlisteners:\n  - { direction: inbound, address: "*:15100", target: "127.0.0.1:8080" }\n`;

const pod = (name: string, namespace: string, labels: Readonly<Record<string, string>>, more: object = {}): Pod => ({
  metadata: {
    name,
    namespace,
    labels,
    annotations: { "sidelane.dev/proxy-config": config("back.shop"), "sidelane.dev/service": "back.shop" },
  },
  spec: {
    containers: [{ name: "app" }],
    initContainers: [{ name: "sidelane-intercept" }, { name: "sidelane" }],
    ...more,
  },
});

const own = (role: string, name: string, containerPort: number): Pod =>
  pod(
    role,
    "sidelane",
    { "app.kubernetes.io/component": role },
    {
      initContainers: [],
      containers: [{ name: role, ports: [{ name, containerPort }] }],
    },
  );

const pods = new Map<string, readonly Pod[]>([
  ["sidelane", [own("control", "feed", 15_021), own("webhook", "https", 15_443)]],
  [
    "shop",
    [
      pod("back-1", "shop", { app: "back" }),
      pod("back-2", "shop", { app: "back" }),
      pod("pr-7-back", "shop", { "sidelane.dev/fork": "pr-7-back" }),
    ],
  ],
]);

function found(...specs: readonly { readonly namespace: string; readonly spec: object }[]): readonly string[] {
  const findings = new Findings();
  const policies = specs.map(({ namespace, spec }, index) => ({
    metadata: { name: `np-${index}`, namespace },
    spec: { ...spec },
  }));
  examinePolicies(policies, { installNamespace: "sidelane", namespaces: [], pods }, findings);
  return findings.all.map(({ level, subject, message, advice }) => {
    expect(advice).not.toBe("");
    return `${level}: ${subject}: ${message.split(":")[0]}`;
  });
}

test("policies that leave the ways open are not mentioned", () => {
  expect(
    found(
      {
        namespace: "shop",
        spec: { podSelector: {}, egress: [{ to: [{ podSelector: {} }] }, { ports: [{ port: 15_021 }] }] },
      },
      { namespace: "shop", spec: { podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }] } },
      { namespace: "sidelane", spec: { podSelector: {}, ingress: [{ ports: [{ port: 15_021 }, { port: 15_443 }] }] } },
    ),
  ).toEqual([]);
});

test("each way that is closed is told once, with where and what to do", () => {
  expect(found({ namespace: "shop", spec: { podSelector: { matchLabels: { app: "back" } }, egress: [] } })).toEqual([
    "error: namespace shop: NetworkPolicy np-0 keeps sidecars, as in back-1, from the control plane",
    "error: pod shop/pr-7-back: NetworkPolicy np-0 keeps sidecars of back.shop from the sandbox's pod",
  ]);
  expect(
    found({
      namespace: "shop",
      spec: { podSelector: {}, ingress: [{ from: [{ podSelector: { matchLabels: { app: "front" } } }] }] },
    }),
  ).toEqual(["error: pod shop/pr-7-back: NetworkPolicy np-0 keeps sidecars of back.shop from the sandbox's pod"]);
  expect(
    found({ namespace: "sidelane", spec: { podSelector: {}, ingress: [{ from: [{ namespaceSelector: {} }] }] } }),
  ).toEqual([
    "warning: network policy sidelane/np-0: lets only some callers reach the webhook, port 15443; unless the API server is among them, new pods come without a sidecar",
  ]);
});
