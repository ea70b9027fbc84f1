import { expect, test } from "vitest";
import { sandbox } from "../fork/fixture.ts";
import { servicesWithoutConsent, withoutConsentText } from "./consent.ts";

const namespace = (name: string, from?: string) => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, ...(from === undefined ? {} : { annotations: { "sidelane.dev/sandboxes-from": from } }) },
});

/** The services of a Sandbox in shop that it must not answer for. */
function refused(services: readonly string[], namespaces: readonly ReturnType<typeof namespace>[], connect?: string) {
  const named = sandbox([]);
  const endpoints = services.map((service) => ({ service, addresses: ["10.0.0.7:80"] }));
  const spec = { ...named.spec, endpoints, ...(connect === undefined ? {} : { connect: [{ service: connect }] }) };
  return servicesWithoutConsent({ ...named, spec }, (name) => namespaces.find((one) => one.metadata.name === name));
}

test("services of the own namespace need nobody's word, by short name and by full one", () => {
  expect(refused(["checkout", "checkout.shop"], [namespace("shop")])).toEqual(new Set());
});

test("those of another namespace need its own", () => {
  expect(refused(["ledger.pay"], [namespace("shop"), namespace("pay")])).toEqual(new Set(["ledger.pay"]));
  expect(refused(["ledger.pay"], [namespace("pay", "staging")])).toEqual(new Set(["ledger.pay"]));
  expect(refused(["ledger.pay"], [namespace("pay", "shopping")])).toEqual(new Set(["ledger.pay"]));
  expect(refused(["ledger.pay"], [namespace("pay", "staging, shop")])).toEqual(new Set());
  expect(refused(["ledger.pay"], [namespace("pay", "*")])).toEqual(new Set());
});

test("a developer's machine is no way around", () => {
  expect(refused([], [namespace("pay")], "ledger.pay")).toEqual(new Set(["ledger.pay"]));
});

test("a name of no namespace was declared in the control plane by somebody, and is nobody's here", () => {
  expect(refused(["mail.legacy"], [namespace("shop")])).toEqual(new Set());
});

test("what to do about it is said with the command", () => {
  expect(withoutConsentText(new Set(["ledger.pay"]), sandbox([]))).toBe(
    "a Sandbox of namespace shop may not answer for ledger.pay; whoever keeps namespace pay can allow it: kubectl annotate namespace pay sidelane.dev/sandboxes-from=shop",
  );
});
