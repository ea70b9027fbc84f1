import { expect, test } from "vitest";
import { injectionOf, lacksSidecar } from "./injection.ts";
import type { KubeObject } from "./object.ts";

const namespace = (name: string, value: string): KubeObject => ({
  metadata: { name, labels: { "sidelane.dev/injection": value } },
});
const pod = (annotations: Readonly<Record<string, string>>, labels = {}): KubeObject => ({
  metadata: { name: "p", namespace: "shop", annotations, labels },
});

test("a namespace says it by its label, but never Sidelane's own or the system's", () => {
  expect(injectionOf(namespace("shop", "enabled"), "sidelane")).toBe("enabled");
  expect(injectionOf(namespace("shop", "on-request"), "sidelane")).toBe("on-request");
  expect(injectionOf(namespace("shop", "yes"), "sidelane")).toBe("disabled");
  expect(injectionOf(namespace("sidelane", "enabled"), "sidelane")).toBe("disabled");
  expect(injectionOf(namespace("kube-system", "enabled"), "sidelane")).toBe("disabled");
  expect(injectionOf(namespace("kube-public", "enabled"), "sidelane")).toBe("disabled");
  expect(injectionOf(undefined, "sidelane")).toBe("disabled");
});

test("a pod lacks a sidecar when it should have one and was never looked at", () => {
  expect(lacksSidecar(pod({}), "enabled")).toBe(true);
  expect(lacksSidecar(pod({}), "disabled")).toBe(false);
  expect(lacksSidecar(pod({ "sidelane.dev/injected": "1.0.0" }), "enabled")).toBe(false);
  expect(lacksSidecar(pod({ "sidelane.dev/skipped": "no-ports" }), "enabled")).toBe(false);
  expect(lacksSidecar(pod({ "sidelane.dev/inject": "false" }), "enabled")).toBe(false);
  expect(lacksSidecar(pod({}, { "sidelane.dev/inject": "false" }), "enabled")).toBe(false);
  expect(lacksSidecar(pod({}), "on-request")).toBe(false);
  expect(lacksSidecar(pod({}, { "sidelane.dev/inject": "true" }), "on-request")).toBe(true);
  expect(lacksSidecar(pod({ "sidelane.dev/stamp": "pr-7" }), "on-request")).toBe(true);
  const leaving = { metadata: { ...pod({}).metadata, deletionTimestamp: "2026-11-24T00:00:00Z" } };
  expect(lacksSidecar(leaving, "enabled")).toBe(false);
});
