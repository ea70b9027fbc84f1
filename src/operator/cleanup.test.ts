import { describe, expect, test } from "vitest";
import { silentLog } from "../base/log.ts";
import type { Log } from "../base/log.ts";
import { KubeError } from "../kube/kube-error.ts";
import { cleanUp } from "./cleanup.ts";
import type { CleanupOptions } from "./cleanup.ts";

interface Stored {
  finalizers: readonly string[];
  deletionTimestamp?: string;
  labels?: Readonly<Record<string, string>>;
  uid?: string;
}

const CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/sidelane";
const SANDBOXES = "/apis/sidelane.dev/v1alpha1/sandboxes";
const inShop = (plural: string, name: string): string =>
  `/apis/sidelane.dev/v1alpha1/namespaces/shop/${plural}/${name}`;
const trust = (namespace: string): string => `/api/v1/namespaces/${namespace}/configmaps/sidelane-ca`;
const lease = (name: string): string => `/apis/coordination.k8s.io/v1/namespaces/sidelane/leases/${name}`;

/** Objects by path, and in `done` what was asked for, in order. */
class Cluster {
  readonly objects = new Map<string, Stored>();
  readonly done: string[] = [];
  #uids = 0;
  refuses = "";
  /** An operator lets go of what is being deleted. */
  operates = true;

  /** A GitOps tool makes it anew as soon as it is gone, so many times. */
  anew = { path: "", times: 0 };

  add(path: string, more: Partial<Stored> = {}): void {
    this.objects.set(path, { finalizers: [], uid: String(++this.#uids), ...more });
  }

  client(): CleanupOptions["client"] {
    const refuse = (path: string): void => {
      if (this.refuses !== "" && path.includes(this.refuses))
        throw new KubeError(403, "Forbidden", `no rights on ${path}`);
    };
    return {
      list: async (collection: string) => {
        refuse(collection);
        if (collection === SANDBOXES && this.refuses === "" && this.objects.has("no-kinds")) {
          throw new KubeError(404, "NotFound", "no such kind");
        }
        const plural = collection.split("/").at(-1) ?? "";
        if (this.operates) {
          for (const [path, { deletionTimestamp }] of this.objects)
            if (deletionTimestamp !== undefined) this.objects.delete(path);
        }
        if (this.anew.times > 0 && !this.objects.has(this.anew.path)) {
          this.anew.times--;
          this.add(this.anew.path);
        }
        const items = [...this.objects].flatMap(([path, stored]) => {
          const [, namespace, kind, name] = /namespaces\/([^/]+)\/([^/]+)\/([^/]+)$/u.exec(path) ?? [];
          return kind === plural && name !== undefined ? [{ metadata: { namespace, name, ...stored } }] : [];
        });
        return { resourceVersion: "1", items: items as never };
      },
      delete: async (path: string) => {
        refuse(path);
        const stored = this.objects.get(path);
        if (stored === undefined) return false;
        this.done.push(`delete ${path}`);
        if (stored.finalizers.length === 0) this.objects.delete(path);
        else stored.deletionTimestamp = "2026-01-01T00:00:00Z";
        return true;
      },
      patch: async (path: string, patch: object) => {
        this.done.push(`patch ${path}`);
        const { finalizers } = (patch as { metadata: { finalizers: readonly string[] } }).metadata;
        const stored = this.objects.get(path);
        if (stored !== undefined && finalizers.length > 0) stored.finalizers = finalizers;
        else this.objects.delete(path);
        return {} as never;
      },
    };
  }
}

function begin(withinMs = 60_000, giveUpMs?: number) {
  const cluster = new Cluster();
  const said: string[] = [];
  const tell = (message: string): void => void said.push(message);
  const log: Log = { ...silentLog, error: tell, warn: tell };
  const run = (): Promise<boolean> =>
    cleanUp({
      client: cluster.client(),
      namespace: "sidelane",
      log,
      withinMs,
      ...(giveUpMs === undefined ? {} : { giveUpMs }),
    });
  return { cluster, said, run };
}

const managed = { labels: { "app.kubernetes.io/managed-by": "sidelane-operator" } };
const held = { finalizers: ["sidelane.dev/routes"] };

describe("cleaning up a cluster", () => {
  test("the webhook goes first, then what people made, then what the roles wrote", async () => {
    const { cluster, run } = begin();
    cluster.add(lease("sidelane-operator"));
    cluster.add(lease("sidelane-control-7"));
    cluster.add(lease("somebody-else"));
    cluster.add(trust("shop"), managed);
    cluster.add(trust("own"));
    cluster.add(inShop("sandboxes", "pr-7"), held);
    cluster.add(inShop("routegroups", "all"));
    cluster.add(CONFIGURATION);
    expect(await run()).toBe(true);
    expect(cluster.done[0]).toBe(`delete ${CONFIGURATION}`);
    expect(cluster.done).not.toContain(`patch ${inShop("sandboxes", "pr-7")}`);
    expect([...cluster.objects.keys()].toSorted()).toEqual([trust("own"), lease("somebody-else")].toSorted());
  });

  test("finalizers are taken off when the operator does not let go in time", async () => {
    const { cluster, said, run } = begin(0);
    cluster.operates = false;
    cluster.add(inShop("sandboxes", "pr-7"), held);
    expect(await run()).toBe(true);
    expect(cluster.done).toEqual([`delete ${inShop("sandboxes", "pr-7")}`, `patch ${inShop("sandboxes", "pr-7")}`]);
    expect(said.join()).toContain("did not let go in time");
  });

  test("finalizers of others stay, and whose they are is said", async () => {
    const { cluster, said, run } = begin(0, 1);
    cluster.operates = false;
    cluster.add(inShop("sandboxes", "pr-7"), { finalizers: ["sidelane.dev/routes", "backup.example/wait"] });
    expect(await run()).toBe(false);
    expect(cluster.objects.get(inShop("sandboxes", "pr-7"))?.finalizers).toEqual(["backup.example/wait"]);
    expect(said.join()).toContain("sandboxes shop/pr-7 (finalizers of others: backup.example/wait)");
  });

  test("what is made anew under the same name is deleted again, but not for ever", async () => {
    const { cluster, said, run } = begin();
    cluster.anew = { path: inShop("sandboxes", "pr-7"), times: 2 };
    expect(await run()).toBe(true);
    expect(cluster.done).toHaveLength(2);

    const other = begin(0, 600);
    other.cluster.anew = { path: inShop("sandboxes", "pr-7"), times: 1000 };
    expect(await other.run()).toBe(false);
    expect(other.said.join()).toContain("still there: sandboxes shop/pr-7;");
    expect(said).toEqual([]);
  });

  test("what is gone already is left out: kinds, objects, everything", async () => {
    const { cluster, run } = begin();
    cluster.add("no-kinds");
    expect(await run()).toBe(true);
    expect(cluster.done).toEqual([]);
  });

  test("one part that fails is told, and keeps no other from being tried", async () => {
    const { cluster, said, run } = begin();
    cluster.refuses = "configmaps";
    cluster.add(lease("sidelane-operator"));
    expect(await run()).toBe(false);
    expect(said).toEqual([expect.stringMatching(/^ConfigMaps sidelane-ca could not be deleted: no rights on/u)]);
    expect(cluster.objects.size).toBe(0);
  });
});
