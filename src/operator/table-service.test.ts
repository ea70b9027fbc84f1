import { expect, test } from "vitest";
import type { KubernetesObject } from "../kube/object.ts";
import { tableService } from "./table-service.ts";

const service = (spec: KubernetesObject["spec"], labels = {}): KubernetesObject => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "checkout", namespace: "shop", labels },
  ...(spec === undefined ? {} : { spec }),
});
const made = (spec: NonNullable<KubernetesObject["spec"]>, labels = {}) =>
  tableService(service(spec, labels), "cluster.local");
const http = { name: "http", port: 80, targetPort: 8080 };

test("one TCP port needs no name, several have theirs, others are left out", () => {
  expect(made({ ports: [http, { name: "dns", port: 53, protocol: "UDP" }] })).toMatchObject({
    hosts: ["checkout.shop", "checkout.shop.svc", "checkout.shop.svc.cluster.local"],
    baseline: ["checkout.shop.svc.cluster.local:80"],
  });
  expect(made({ ports: [http, { name: "grpc", port: 90 }] })).toMatchObject({
    ports: { http: 80, grpc: 90 },
    baseline: { http: ["checkout.shop.svc.cluster.local:80"], grpc: ["checkout.shop.svc.cluster.local:90"] },
  });
});

test("the name of a headless Service leads to the pods' own ports", () => {
  expect(made({ clusterIP: "None", ports: [http] })).toMatchObject({
    baseline: ["checkout.shop.svc.cluster.local:8080"],
  });
});

test("what is no baseline's, or leads nowhere, is none", () => {
  expect(made({ ports: [http] }, { "sidelane.dev/fork": "pr-7-checkout" })).toBeUndefined();
  expect(made({ type: "ExternalName", externalName: "example.com", ports: [http] })).toBeUndefined();
  expect(made({ ports: [{ name: "dns", port: 53, protocol: "UDP" }] })).toBeUndefined();
  expect(tableService(service(undefined), "cluster.local")).toBeUndefined();
});
