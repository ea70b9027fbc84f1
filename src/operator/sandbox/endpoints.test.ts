import { expect, test } from "vitest";
import type { ForkRoute } from "../fork/fork.ts";
import { endpointList, routeEndpoints } from "./endpoints.ts";
import type { EndpointSlice } from "./endpoints.ts";

const HOST = "pr-7-checkout.shop.svc.cluster.local";
const route = (...ports: ForkRoute["ports"]): ForkRoute => ({
  service: "checkout",
  forkService: "pr-7-checkout",
  ports,
});
const http = { name: "http", port: 80, containerPort: 8080 };
const grpc = { name: "grpc", port: 90, containerPort: 9090 };
const slice = (more: Partial<EndpointSlice>): EndpointSlice => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name: "s", namespace: "shop" },
  addressType: "IPv4",
  ports: [{ name: "http", port: 8080 }],
  ...more,
});

test("pods that are ready, of both families, each once", () => {
  const four = slice({
    endpoints: [
      { addresses: ["10.0.0.8"], conditions: { ready: true } },
      { addresses: ["10.0.0.7"] },
      { addresses: ["10.0.0.9"], conditions: { ready: false } },
      { addresses: ["10.0.0.7"], conditions: { ready: null } },
    ],
  });
  const six = slice({ addressType: "IPv6", endpoints: [{ addresses: ["fd00::7"] }] });
  const found = routeEndpoints(route(http), [four, six], HOST);
  expect(found.endpoints).toEqual(["10.0.0.7:8080", "10.0.0.8:8080", "[fd00::7]:8080"]);
  expect(found.ready).toHaveLength(3);
});

test("without a pod that is ready the service stays the sandbox's, at a name where nobody answers yet", () => {
  for (const slices of [
    [],
    [slice({ endpoints: null })],
    [slice({ ports: null, endpoints: [{ addresses: ["10.0.0.7"] }] })],
  ]) {
    const found = routeEndpoints(route(http), slices, HOST);
    expect(found).toMatchObject({ endpoints: [`${HOST}:8080`], ready: [], missingPorts: [] });
  }
});

test("of several ports each has its list, and one that no pod has is told", () => {
  const found = routeEndpoints(route(http, grpc), [slice({ endpoints: [{ addresses: ["10.0.0.7"] }] })], HOST);
  expect(found.endpoints).toEqual({ http: ["10.0.0.7:8080"], grpc: [`${HOST}:9090`] });
  expect(found.missingPorts).toEqual(["grpc"]);
  expect(endpointList(found.endpoints)).toEqual(["10.0.0.7:8080", `${HOST}:9090`]);
});
