// Resources and commits for tests of stores.

import { randomUUID } from "node:crypto";
import type { Resource, ResourceId } from "../../src/control/resource.ts";
import type { Commit } from "../../src/control/store/store.ts";

/** A sandbox with one service. */
export function sandbox(name: string, endpoint = "10.0.0.7:8080", description = ""): Resource {
  const at = "2026-01-01T00:00:00.000Z";
  return {
    kind: "sandbox",
    name,
    spec: { labels: { team: "shop" }, owner: "ana", description, services: { checkout: [endpoint] } },
    meta: { version: 0, createdAt: at, updatedAt: at, createdBy: "ana", updatedBy: "ana" },
  };
}

export function commitOf(basedOn: number, puts: readonly Resource[], deletes: readonly ResourceId[] = []): Commit {
  const at = new Date(0).toISOString();
  const audit = [...puts, ...deletes].map(({ kind, name }) => {
    const entry = { at, actor: "ana", action: "update" as const, kind, name, detail: `${name} after ${basedOn}` };
    return entry;
  });
  return { id: randomUUID(), basedOn, puts, deletes, audit };
}
