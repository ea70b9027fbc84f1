// The objects of the store, all of the kind TableCommit and in one namespace. They are not for editing by hand.
//
//   t-REVISION               one commit: what it puts and deletes, its audit entries, its id and that of the commit before
//   snapshot                 made first: the source; up to which revision the chunks hold everything, and which chunks these are
//   s-REVISION-MARK-NUMBER   a chunk: a part of everything at that revision
//   traffic                  when sandboxes last had traffic
//
// Anybody with kubectl may have written there, so nothing is taken on trust.

import { createHash } from "node:crypto";
import { gunzipSync, gzip, gzipSync } from "node:zlib";
import { API_VERSION } from "../../../kube/object-names.ts";
import type { AuditEntry, Resource, ResourceId } from "../../resource.ts";
import { isResource, isResourceId } from "../../resources/stored-shape.ts";
import type { LogRecord } from "../file/record.ts";
import { CommitTooLargeError, StoreUnusableError } from "../store.ts";
import type { Commit } from "../store.ts";

const KIND = "TableCommit";
/** Of what is in the objects; a later one is refused. */
const FORMAT = 1;

export const SNAPSHOT = "snapshot";
export const TRAFFIC = "traffic";
const DIGITS = 16;
const SOURCE_LENGTH = 32;

/** From this length on text is compressed: short ones can be read with kubectl. */
const PLAIN_LENGTH_MAX = 4096;
/** Of the data of one object: etcd takes 1.5 MiB at once, and the API server puts something around it. */
const DATA_BYTES_MAX = 1024 * 1024;
/** Of what is compressed in one object. */
const TEXT_BYTES_MAX = 64 * 1024 * 1024;

/** What is read of any object. */
export interface TableCommitObject {
  readonly metadata: {
    readonly name: string;
    readonly resourceVersion: string;
    readonly uid: string;
    /** 1 as long as nobody has changed the spec. */
    readonly generation?: number;
  };
  readonly spec: Readonly<Record<string, unknown>>;
}

/** As it is sent. */
export interface NewObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace: string; readonly resourceVersion?: string };
  readonly spec: Readonly<Record<string, unknown>>;
}

/** A commit as it stands in the log. */
export interface LoggedCommit {
  readonly revision: number;
  readonly id: string;
  /** Id of the commit of the revision before; "" there is none. */
  readonly previous: string;
  readonly puts: readonly Resource[];
  readonly deletes: readonly ResourceId[];
  readonly audit: readonly AuditEntry[];
  /** Of the object's data. */
  readonly bytes: number;
}

/** What the snapshot object says. */
export interface Floor {
  /** Of `origin` and of the object itself: a backup that is written back is another object, and so another history. */
  readonly source: string;
  /** As it stands in the object. */
  readonly origin: string;
  /** Everything up to here is in the chunks, and commits up to here may be gone. */
  readonly revision: number;
  /** Id of the commit that led to it; "" for none. */
  readonly commit: string;
  /** Names, in order. */
  readonly chunks: readonly string[];
  readonly resourceVersion: string;
}

export function commitName(revision: number): string {
  return `t-${String(revision).padStart(DIGITS, "0")}`;
}

/** Undefined for what is no commit's name. */
export function commitRevision(name: string): number | undefined {
  const digits = /^t-([0-9]{16})$/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function chunkName(revision: number, mark: string, number: number): string {
  return `s-${String(revision).padStart(DIGITS, "0")}-${mark}-${number}`;
}

/** Undefined for what is no chunk's name. */
export function chunkRevision(name: string): number | undefined {
  const digits = /^s-([0-9]{16})-/.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Throws `CommitTooLargeError`. */
export function commitObject(
  namespace: string,
  { id, deletes }: Commit,
  logged: Pick<LoggedCommit, "revision" | "previous" | "puts" | "audit">,
): NewObject {
  const { revision, previous, puts, audit } = logged;
  const data = packed(JSON.stringify({ puts, deletes, audit }));
  return newObject(namespace, commitName(revision), { record: "commit", revision, commit: id, previous, ...data });
}

/** What nobody could have written as a commit counts as one that changes nothing: all replicas see it so, and its name is taken. */
export function loggedCommit(object: TableCommitObject): LoggedCommit | undefined {
  const revision = commitRevision(object.metadata.name);
  if (revision === undefined) return undefined;
  const { commit, previous, data } = object.spec;
  const bytes = typeof data === "string" ? data.length : 0;
  const empty = { revision, id: text(commit), previous: text(previous), puts: [], deletes: [], audit: [], bytes };
  const value = unpacked(object.spec) as Partial<LoggedCommit> | undefined;
  if (object.spec["format"] !== FORMAT || value === undefined) return empty;
  const { puts, deletes, audit } = value;
  if (!Array.isArray(puts) || !Array.isArray(deletes) || !Array.isArray(audit)) return empty;
  if (!puts.every(isResource) || !deletes.every(isResourceId) || !audit.every((one): boolean => isResourceId(one)))
    return empty;
  return { ...empty, puts, deletes, audit };
}

export function floorObject(
  namespace: string,
  { origin, revision, commit, chunks }: Omit<Floor, "resourceVersion" | "source">,
  resourceVersion = "",
): NewObject {
  return newObject(
    namespace,
    SNAPSHOT,
    { record: "snapshot", source: origin, revision, commit, chunks },
    resourceVersion,
  );
}

/** Throws `StoreUnusableError` for what no control plane of this format has written. `store` is its name. */
export function floorOf(store: string, { metadata, spec }: TableCommitObject): Floor {
  const { format, source, revision, commit, chunks } = spec;
  if (typeof format === "number" && format !== FORMAT) {
    throw new StoreUnusableError(
      `${store}: the data has format ${format}, this version knows format ${FORMAT} and must not touch it; start a version that knows it`,
    );
  }
  const whole = typeof source === "string" && source !== "" && Number.isSafeInteger(revision);
  if (format === undefined || !whole || !Array.isArray(chunks)) {
    throw new StoreUnusableError(
      `${store}: the TableCommit ${SNAPSHOT} holds something else than a control plane's data; restore it, or begin anew without any data: kubectl delete tablecommits --all`,
    );
  }
  const { resourceVersion, uid } = metadata;
  const told = createHash("sha256").update(`${source} ${uid}`).digest("hex").slice(0, SOURCE_LENGTH);
  return {
    ...{ source: told, origin: source, revision: Number(revision), commit: text(commit) },
    ...{ chunks: chunks.map(text), resourceVersion },
  };
}

/** Records as chunks, each small enough for one object. Lets others go on in between. */
export async function chunkObjects(
  namespace: string,
  revision: number,
  mark: string,
  records: readonly LogRecord[],
): Promise<NewObject[]> {
  const made: NewObject[] = [];
  const rest: (readonly LogRecord[])[] = [];
  for (let from = 0; from < records.length; from += RECORDS_PER_CHUNK) {
    rest.push(records.slice(from, from + RECORDS_PER_CHUNK));
  }
  for (let some = rest.shift(); some !== undefined; some = rest.shift()) {
    const data = await packedLater(JSON.stringify(some));
    if (data.data.length > DATA_BYTES_MAX) rest.unshift(...halves(some));
    else
      made.push(newObject(namespace, chunkName(revision, mark, made.length), { record: "chunk", revision, ...data }));
  }
  return made;
}

const RECORDS_PER_CHUNK = 4000;

/** Throws `StoreUnusableError`. */
export function chunkRecords(store: string, { metadata, spec }: TableCommitObject): readonly LogRecord[] {
  const value = spec["format"] === FORMAT ? unpacked(spec) : undefined;
  if (Array.isArray(value) && value.every(isChunkRecord)) return value;
  throw new StoreUnusableError(
    `${store}: the TableCommit ${metadata.name} cannot be read; restore it, or begin anew without any data: kubectl delete tablecommits --all`,
  );
}

/** Throws `CommitTooLargeError`. */
export function trafficObject(namespace: string, revision: number, times: object, resourceVersion = ""): NewObject {
  const spec = { record: "traffic", revision, ...packed(JSON.stringify(times)) };
  return newObject(namespace, TRAFFIC, spec, resourceVersion);
}

/** An empty object for what cannot be read. */
export function objectIn({ spec }: TableCommitObject): object {
  const value = unpacked(spec);
  return typeof value === "object" && value !== null ? value : {};
}

function newObject(
  namespace: string,
  name: string,
  spec: Readonly<Record<string, unknown>>,
  resourceVersion = "",
): NewObject {
  const metadata = { name, namespace, ...(resourceVersion === "" ? {} : { resourceVersion }) };
  return { apiVersion: API_VERSION, kind: KIND, metadata, spec: { format: FORMAT, ...spec } };
}

interface Packed {
  readonly encoding: "json" | "gzip";
  readonly data: string;
}

function packed(json: string): Packed {
  if (json.length <= PLAIN_LENGTH_MAX) return { encoding: "json", data: json };
  if (json.length > TEXT_BYTES_MAX / 2) throw tooLarge(json.length, TEXT_BYTES_MAX / 2);
  const data = gzipSync(json).toString("base64");
  if (data.length > DATA_BYTES_MAX) throw tooLarge(data.length, DATA_BYTES_MAX);
  return { encoding: "gzip", data };
}

function tooLarge(bytes: number, max: number): CommitTooLargeError {
  return new CommitTooLargeError(
    `the change is too large for an object of Kubernetes: ${bytes} bytes, the store takes ${max} at once; make it in several steps`,
  );
}

function packedLater(json: string): Promise<Packed> {
  return new Promise((resolve, reject) => {
    gzip(json, (error, bytes) => {
      if (error === null) resolve({ encoding: "gzip", data: bytes.toString("base64") });
      else reject(error);
    });
  });
}

function halves(records: readonly LogRecord[]): (readonly LogRecord[])[] {
  if (records.length > 1) {
    const middle = Math.ceil(records.length / 2);
    return [records.slice(0, middle), records.slice(middle)];
  }
  const [one] = records;
  if (one?.record === "audit" && one.entries.length > 1) {
    const middle = Math.ceil(one.entries.length / 2);
    const parts = [one.entries.slice(0, middle), one.entries.slice(middle)];
    return parts.map((entries) => [{ record: "audit", entries }]);
  }
  // It came in by a commit, which had no more room.
  throw new Error("one resource is larger than what a commit takes");
}

function unpacked({ encoding, data }: Readonly<Record<string, unknown>>): unknown {
  if (typeof data !== "string") return undefined;
  try {
    const json =
      encoding === "gzip"
        ? gunzipSync(Buffer.from(data, "base64"), { maxOutputLength: TEXT_BYTES_MAX }).toString("utf8")
        : data;
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Kinds of a later version are passed over by whoever takes them in. */
function isChunkRecord(value: unknown): value is LogRecord {
  const { record, resource, entries, ids } = (value ?? {}) as Readonly<Record<string, unknown>>;
  switch (record) {
    case "resource":
      return isResource(resource);
    case "audit":
      return Array.isArray(entries) && entries.every(isResourceId);
    case "commits":
      return Array.isArray(ids) && ids.every(Array.isArray);
    default:
      return typeof record === "string";
  }
}
