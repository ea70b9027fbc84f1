// What the values in etcd hold, JSON all of them. Anybody with etcdctl may have written there, so nothing is taken on trust.

import type { AuditEntry, Resource, ResourceId } from "../../resource.ts";
import { StoreUnusableError } from "../store.ts";
import type { KeyValue } from "./messages.ts";

/** Of what is written below the prefix; a later one is refused. */
export const ETCD_FORMAT = 1;

export interface Head {
  readonly format: number;
  readonly source: string;
  readonly revision: number;
  /** Id of the commit that led to it. */
  readonly commit: string;
}

/** The head, and etcd's revision in which it was written. */
export interface Known extends Head {
  readonly modRevision: number;
}

/** Which commit led to a revision, and what it did. */
export interface LogEntry {
  readonly commit: string;
  readonly entries: readonly Omit<AuditEntry, "revision">[];
}

/** Undefined when there is none. Throws `StoreUnusableError` for what no control plane of this format has written. */
export function headOf(store: string, kv: KeyValue | undefined): Known | undefined {
  if (kv === undefined) return undefined;
  const { format, source, revision, commit } = object(kv.value) as Partial<Head>;
  if (typeof format === "number" && format !== ETCD_FORMAT) {
    throw new StoreUnusableError(
      `${store}: the data has format ${format}, this version knows format ${ETCD_FORMAT} and must not touch it; start a version that knows it`,
    );
  }
  const complete = typeof source === "string" && Number.isSafeInteger(revision) && typeof commit === "string";
  if (format === undefined || !complete || revision === undefined) {
    throw new StoreUnusableError(
      `${store}: the key ${kv.key} holds something else than a control plane's data; use another prefix: etcd://.../PREFIX`,
    );
  }
  return { format, source, revision, commit, modRevision: kv.modRevision };
}

/** Undefined for what is not the resource of this name. */
export function resourceOf({ kind, name }: ResourceId, value: string): Resource | undefined {
  const resource = object(value) as Partial<Resource>;
  const whole = resource.kind === kind && resource.name === name && isObject(resource.spec) && isObject(resource.meta);
  return whole ? (resource as Resource) : undefined;
}

/** Undefined for what is no entry of the log. */
export function logEntryOf(value: string): LogEntry | undefined {
  const { commit, entries } = object(value) as Partial<LogEntry>;
  return typeof commit === "string" && Array.isArray(entries) ? { commit, entries } : undefined;
}

/** The object that the text holds; an empty one when it holds none. */
export function object(text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
