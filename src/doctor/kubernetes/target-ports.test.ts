import { expect, test } from "vitest";
import { Findings } from "../finding.ts";
import type { Pod, Service } from "./pod.ts";
import { examineTargetPorts } from "./target-ports.ts";

const service = (port: object, labels = {}): Service => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "back", namespace: "shop", labels },
  spec: { selector: { app: "back" }, ports: [{ port: 80, ...port }] },
});

const pod = (containers: readonly string[], ports: readonly object[], annotations = {}): Pod => ({
  metadata: {
    name: "back-1",
    namespace: "shop",
    labels: { app: "back" },
    annotations: {
      "sidelane.dev/proxy-config": `service: back.shop\nlisteners:\n  - { direction: inbound, address: "*:15100", target: "127.0.0.1:8080" }\n`,
      ...annotations,
    },
  },
  spec: {
    initContainers: containers.map((name) => ({ name })),
    containers: [{ name: "app", ports: ports as Pod["spec"]["containers"][number]["ports"] & object }],
  },
});
const http = [{ name: "http", containerPort: 8080 }];
const injected = ["sidelane-intercept", "sidelane"];

function found(one: Service, ...pods: readonly Pod[]): readonly string[] {
  const findings = new Findings();
  examineTargetPorts([one], pods, findings);
  return findings.all.map(({ level, subject, message, advice }) => {
    expect([subject, advice]).toEqual(["service shop/back", expect.stringMatching(/./u)]);
    return `${level}: ${message}`;
  });
}

test("ports that lead to the app through its sidecar are not mentioned", () => {
  const redirected = pod(injected, http);
  for (const port of [{ targetPort: "http" }, { targetPort: 8080 }, { targetPort: 8080, protocol: "UDP" }]) {
    expect(found(service(port), redirected)).toEqual([]);
  }
  expect(found(service({ targetPort: "http" }), pod(["sidelane"], [{ name: "http", containerPort: 15_100 }]))).toEqual(
    [],
  );
  expect(found(service({ targetPort: 9999 }))).toEqual([]);
  expect(found(service({ targetPort: 9999 }, { "sidelane.dev/fork": "pr-7-back" }), redirected)).toEqual([]);
  // Without declared ports nobody can say; what is excluded is meant.
  expect(found(service({ targetPort: 9999 }), pod([], []))).toEqual([]);
  const excluded = { "sidelane.dev/exclude-inbound-ports": "9090, 9091" };
  expect(found(service({ targetPort: 9091 }), pod(injected, [{ containerPort: 9091 }], excluded))).toEqual([]);
});

test("each wrong port is told", () => {
  const open = { name: "sidelane-open", containerPort: 15_004 };
  expect(found(service({ targetPort: "web" }), pod(injected, [open, ...http]))).toEqual([
    "error: port 80 leads nowhere: no container of its pods has a port named web; they declare http 8080",
  ]);
  expect(found(service({ targetPort: 8081 }), pod(injected, http))).toEqual([
    "warning: port 80 leads to 8081, which no container of its pods declares: they declare http 8080",
  ]);
  expect(found(service({ targetPort: 8080 }), pod(["sidelane"], http))).toEqual([
    expect.stringMatching(/^error: port 80 leads past the sidecar of pods without redirecting, such as back-1/u),
  ]);
  expect(found(service({ targetPort: 9090 }), pod(injected, [...http, { containerPort: 9090 }]))).toEqual([
    "warning: port 80 leads past the sidecar of back-1: its sidecar is for other ports",
  ]);
});
