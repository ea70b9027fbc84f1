import { describe, expect, test } from "vitest";
import { silentLog } from "../base/log.ts";
import { KubeError } from "./kube-error.ts";
import { leadWithLease } from "./lease.ts";
import type { Lease, LeaseOptions } from "./lease.ts";

/** One Lease with the compare-and-set of the API server. */
class LeaseApi {
  lease: Lease | undefined;
  isDown = false;
  #version = 0;

  readonly client = {
    find: async () => this.#up(() => this.lease),
    create: async (_: string, lease: object) => this.#up(() => this.#write(lease as Lease, undefined)),
    replace: async (_: string, lease: object) =>
      this.#up(() => this.#write(lease as Lease, (lease as Lease).metadata.resourceVersion)),
  } as unknown as LeaseOptions["client"];

  #up<T>(act: () => T): T {
    if (this.isDown) throw new KubeError(0, "Unreachable", "down");
    return act();
  }

  #write(lease: Lease, version: string | undefined): Lease {
    if (this.lease?.metadata.resourceVersion !== version) throw new KubeError(409, "Conflict", "changed");
    this.lease = { ...lease, metadata: { ...lease.metadata, resourceVersion: String(++this.#version) } };
    return this.lease;
  }
}

/** Replicas that want one lease, and who leads. */
class Replicas {
  readonly api = new LeaseApi();
  readonly leading = new Set<string>();
  most = 0;
  #changed: (() => void)[] = [];

  start(identity: string): { readonly stop: () => Promise<void> } {
    const ending = new AbortController();
    const { client } = this.api;
    const options = {
      client,
      namespace: "sidelane",
      name: "l",
      identity,
      log: silentLog,
      durationMs: 1000,
      renewMs: 20,
    };
    const done = leadWithLease(options, ending.signal, async (signal) => {
      this.leading.add(identity);
      this.most = Math.max(this.most, this.leading.size);
      this.#tell();
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      this.leading.delete(identity);
      this.#tell();
    });
    return {
      stop: async () => {
        ending.abort();
        await done;
      },
    };
  }

  async until(accept: () => boolean): Promise<void> {
    while (!accept()) await new Promise<void>((resolve) => this.#changed.push(resolve));
  }

  #tell(): void {
    for (const tell of this.#changed.splice(0)) tell();
  }
}

describe("a lease", () => {
  test("has one holder, who lets go at the end", async () => {
    const replicas = new Replicas();
    const a = replicas.start("a");
    await replicas.until(() => replicas.leading.has("a"));
    const b = replicas.start("b");
    await a.stop();
    await replicas.until(() => replicas.leading.has("b"));
    expect(replicas.api.lease?.spec).toMatchObject({ holderIdentity: "b", leaseTransitions: 1 });
    await b.stop();
    expect(replicas.api.lease?.spec?.holderIdentity).toBe("");
    expect(replicas.most).toBe(1);
  });

  test("that cannot be renewed is given up before others may take it", async () => {
    const replicas = new Replicas();
    const a = replicas.start("a");
    await replicas.until(() => replicas.leading.has("a"));
    replicas.api.isDown = true;
    await replicas.until(() => replicas.leading.size === 0);
    expect(replicas.api.lease?.spec?.holderIdentity).toBe("a");
    replicas.api.isDown = false;
    await replicas.until(() => replicas.leading.has("a"));
    expect(replicas.most).toBe(1);
    await a.stop();
  });

  test("of a replica that died is taken over when it is over", async () => {
    const replicas = new Replicas();
    const dead = { holderIdentity: "dead", leaseDurationSeconds: 1, leaseTransitions: 3 };
    replicas.api.lease = { metadata: { name: "l", namespace: "sidelane", resourceVersion: "x" }, spec: dead };
    const a = replicas.start("a");
    await replicas.until(() => replicas.leading.has("a"));
    expect(replicas.api.lease.spec).toMatchObject({ holderIdentity: "a", leaseTransitions: 4 });
    await a.stop();
  });
});
