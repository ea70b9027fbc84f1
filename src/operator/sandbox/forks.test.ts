import { expect, test } from "vitest";
import { silentLog } from "../../base/log.ts";
import type { KubernetesObject } from "../../kube/object.ts";
import { checkout, checkoutService, httpPort, sandbox, service } from "../fork/fixture.ts";
import type { OperatorContext } from "../operator-context.ts";
import { Forks } from "./forks.ts";

/** A namespace with one Deployment and these Services; notes the paths that are applied. */
function namespaceWith(services: readonly KubernetesObject[], isAway = false) {
  const baseline = isAway ? undefined : checkout();
  const applied: string[] = [];
  const none = { list: () => [], get: () => undefined };
  const context = {
    kube: {
      find: async () => baseline,
      list: async () => ({ items: [] }),
      apply: async (path: string, object: KubernetesObject) => {
        applied.push(path);
        return object;
      },
    },
    cluster: {
      services: { get: (key: string) => services.find(({ metadata }) => `shop/${metadata.name}` === key) },
      servicesOf: () => services,
      workloads: {
        Deployment: { ...none, get: (key: string) => (key === "shop/checkout" ? baseline : undefined) },
      },
      forkPods: none,
      slices: none,
      forkObjects: () => [],
    },
    events: { record: async () => {} },
    log: silentLog,
    clusterDomain: "cluster.local",
  } as unknown as OperatorContext;
  return { forks: new Forks(context), applied };
}

const fork = { workload: { kind: "Deployment", name: "checkout" }, services: ["checkout", "pay"] } as const;
const pay = service("pay", { app: "pay" }, [httpPort]);

test("a Service of somebody else that has the name of a fork's second one stays what it is", async () => {
  const theirs = service("pr-7-checkout-pay", { app: "pay" }, [httpPort]);
  const { forks, applied } = namespaceWith([checkoutService, pay, theirs]);
  const { forked } = await forks.apply(sandbox([fork]), new AbortController().signal);
  expect(applied).toContain("/api/v1/namespaces/shop/services/pr-7-checkout");
  expect(applied).not.toContain("/api/v1/namespaces/shop/services/pr-7-checkout-pay");
  expect(forked).toMatchObject({ status: "False", reason: "ApplyRefused" });
  expect(forked.message).toContain("Service pr-7-checkout-pay is there already and is not a fork of Sandbox pr-7");
});

test("where nobody has the names all objects are applied", async () => {
  const { forks, applied } = namespaceWith([checkoutService, pay]);
  const { forked } = await forks.apply(sandbox([fork]), new AbortController().signal);
  expect(applied).toContain("/api/v1/namespaces/shop/services/pr-7-checkout-pay");
  expect(forked.status).toBe("True");
});

test("a baseline that is away leaves what was made from it, and where it leads", async () => {
  const owner = sandbox([fork]);
  const made = service("pr-7-checkout", { "sidelane.dev/fork": "pr-7-checkout" }, [httpPort]);
  const owned = (uid: string | undefined): KubernetesObject => ({
    ...made,
    metadata: {
      ...made.metadata,
      labels: { "sidelane.dev/fork": "pr-7-checkout" },
      annotations: { "sidelane.dev/service": "checkout.shop" },
      ownerReferences: [{ apiVersion: owner.apiVersion, kind: "Sandbox", name: "pr-7", uid: uid ?? "" }],
    },
  });
  const { forks } = namespaceWith([checkoutService, owned(owner.metadata.uid)], true);
  const { forked, standing } = await forks.apply(owner, new AbortController().signal);
  expect(forked).toMatchObject({ status: "False", reason: "UnknownWorkload" });
  // No pod is ready: the name of the fork's Service holds the place.
  expect([...standing.keys()]).toEqual(["checkout.shop"]);
  expect(JSON.stringify(standing.get("checkout.shop"))).toContain("pr-7-checkout.shop.svc.cluster.local:");

  const others = namespaceWith([checkoutService, owned("another")], true);
  expect((await others.forks.apply(owner, new AbortController().signal)).standing).toEqual(new Map());
});
