import { expect, test } from "vitest";
import type { JsonMap, KubernetesObject } from "./object.ts";
import {
  labelSelectorSelects,
  otherPorts,
  serviceSelects,
  servicesSelecting,
  tcpPorts,
  wantedKeys,
} from "./selectors.ts";

const labels = { app: "web", tier: "back" };

test.each([
  [{ app: "web" }, true],
  [{ app: "web", tier: "back" }, true],
  [{ app: "web", tier: "front" }, false],
  [{ app: "web", zone: "a" }, false],
  [{ constructor: "x" }, false],
  [{}, false],
  [undefined, false],
])("a Service with selector %j: %j", (selector, taken) => {
  expect(serviceSelects(selector, labels)).toBe(taken);
});

test.each([
  [{}, true, []],
  [undefined, false, []],
  [{ matchLabels: { app: "web" } }, true, ["app"]],
  [{ matchLabels: { app: "x" } }, false, ["app"]],
  [{ matchExpressions: [{ key: "app", operator: "In", values: ["x", "web"] }] }, true, ["app"]],
  [{ matchExpressions: [{ key: "app", operator: "In", values: ["x"] }] }, false, ["app"]],
  [{ matchExpressions: [{ key: "zone", operator: "NotIn", values: ["x"] }] }, true, []],
  [{ matchExpressions: [{ key: "app", operator: "NotIn", values: ["web"] }] }, false, []],
  [{ matchExpressions: [{ key: "app", operator: "Exists" }] }, true, ["app"]],
  [{ matchExpressions: [{ key: "app", operator: "DoesNotExist" }] }, false, []],
  [{ matchExpressions: [{ key: "zone", operator: "DoesNotExist" }] }, true, []],
  [{ matchLabels: { app: "web" }, matchExpressions: [{ key: "app", operator: "Odd" }] }, false, ["app"]],
])("label selector %j: %j, wants %j", (selector, taken, keys) => {
  expect(labelSelectorSelects(selector, labels)).toBe(taken);
  expect(wantedKeys(selector)).toStrictEqual(keys);
});

function service(name: string, spec: JsonMap, own: Record<string, string> = {}): KubernetesObject {
  return { apiVersion: "v1", kind: "Service", metadata: { name, labels: own }, spec };
}

test("Services that select: with an address first, then by name; none of a fork's", () => {
  const selector = { app: "web" };
  const all = [
    service("a", { selector, clusterIP: "None" }),
    service("c", { selector }),
    service("b", { selector }),
    service("other", { selector: { app: "x" } }),
    service("fork", { selector }, { "sidelane.dev/fork": "fork" }),
  ];
  expect(servicesSelecting(labels, all).map(({ metadata }) => metadata.name)).toStrictEqual(["b", "c", "a"]);
});

test("ports by protocol", () => {
  const ports = [
    { name: "b", port: 90, targetPort: "web" },
    { port: 80, protocol: "TCP", targetPort: 0 },
    { name: "dns", port: 53, protocol: "UDP" },
    { port: 54, protocol: "SCTP" },
    "odd",
  ];
  const one = service("a", { ports });
  expect(tcpPorts(one)).toStrictEqual([
    { name: "", port: 80, targetPort: 80 },
    { name: "b", port: 90, targetPort: "web" },
  ]);
  expect(otherPorts(one)).toStrictEqual(["dns (UDP 53)", "SCTP 54"]);
});
