import { describe, expect, test } from "vitest";
import { silentLog } from "../base/log.ts";
import { Informer } from "./informer.ts";
import type { KubeClient } from "./client.ts";
import { KubeError } from "./kube-error.ts";
import type { KubeList, KubeObject, WatchEvent } from "./object.ts";

const object = (name: string, version: number, uid = name): KubeObject => ({
  metadata: { name, namespace: "shop", uid, resourceVersion: String(version) },
});

/** What the API server is to answer next; a list or watch that nobody planned waits for ever. */
class Api {
  readonly lists: (KubeList<KubeObject> | Error)[] = [];
  readonly watches: (readonly (WatchEvent<KubeObject> | Error)[])[] = [];
  readonly asked: string[] = [];

  readonly client = {
    list: async () => {
      this.asked.push("list");
      const next = this.lists.shift();
      if (next === undefined) return new Promise(() => {});
      if (next instanceof Error) throw next;
      return next;
    },
    watch: (_: string, version: string, { signal }: { readonly signal?: AbortSignal }) => {
      this.asked.push(`watch ${version}`);
      return events(this.watches.shift(), signal);
    },
  } as unknown as Pick<KubeClient, "list" | "watch">;
}

async function* events(
  planned: readonly (WatchEvent<KubeObject> | Error)[] | undefined,
  signal: AbortSignal | undefined,
) {
  for (const event of planned ?? []) {
    if (event instanceof Error) throw event;
    yield event;
  }
  if (planned === undefined) await new Promise<void>((resolve) => signal?.addEventListener("abort", () => resolve()));
}

/** Runs until the listener has heard so much. */
async function heard(
  api: Api,
  count: number,
): Promise<{ readonly changes: readonly string[]; readonly informer: Informer }> {
  const informer = new Informer({
    client: api.client,
    path: "/api/v1/pods",
    log: silentLog,
    backOff: { firstMs: 1, mostMs: 2 },
  });
  const changes: string[] = [];
  const all = Promise.withResolvers<void>();
  informer.onChange(({ type, object: { metadata } }) => {
    changes.push(`${type} ${metadata.name} ${metadata.resourceVersion}`);
    if (changes.length === count) all.resolve();
  });
  informer.onChange(() => {
    throw new Error("a listener that fails is nobody else's problem");
  });
  informer.start();
  await all.promise;
  return { changes, informer };
}

describe("an informer", () => {
  test("lists once, follows, and goes on from the last version, bookmarks included", async () => {
    const api = new Api();
    api.lists.push({ resourceVersion: "5", items: [object("a", 3)] });
    api.watches.push([
      { type: "ADDED", object: object("b", 6) },
      { type: "BOOKMARK", object: object("", 9) },
    ]);
    api.watches.push([new KubeError(0, "Unreachable", "cut off")]);
    api.watches.push([
      { type: "MODIFIED", object: object("a", 10) },
      { type: "DELETED", object: object("b", 11) },
    ]);
    const { changes, informer } = await heard(api, 4);
    expect(changes).toEqual(["add a 3", "add b 6", "update a 10", "delete b 11"]);
    expect(api.asked.slice(0, 4)).toEqual(["list", "watch 5", "watch 9", "watch 9"]);
    expect(informer.list().map(({ metadata }) => metadata.name)).toEqual(["a"]);
    expect(informer.get("shop/a")?.metadata.resourceVersion).toBe("10");
    await informer.stop();
  });

  test("that has missed too much lists again and tells what was missed, deletions included", async () => {
    const api = new Api();
    api.lists.push(new KubeError(503, "ServiceUnavailable", "later"));
    api.lists.push({ resourceVersion: "5", items: [object("a", 3), object("b", 4), object("c", 5, "old")] });
    api.watches.push([new KubeError(410, "Expired", "too old")]);
    api.lists.push({ resourceVersion: "9", items: [object("a", 3), object("c", 9, "new"), object("d", 8)] });
    const { changes, informer } = await heard(api, 7);
    expect(changes).toEqual(["add a 3", "add b 4", "add c 5", "delete c 5", "add c 9", "add d 8", "delete b 4"]);
    await informer.stop();
  });
});
