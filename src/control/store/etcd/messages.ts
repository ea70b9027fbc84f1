// What of etcd's API (v3, gRPC) is used, as types. Revisions and leases are whole numbers below 2^53: revisions by nature, leases
// because they are numbered here (presence.ts).

export interface KeyValue {
  readonly key: string;
  readonly value: string;
  /** etcd's revision in which the key was last written. */
  readonly modRevision: number;
}

export interface RangeRequest {
  readonly key: string;
  /** First key that is not meant; absent: only `key`. */
  readonly end?: string;
  readonly limit?: number;
  /** At this revision of etcd; absent: now. */
  readonly revision?: number;
}

export interface RangeResponse {
  /** etcd's revision when it answered. */
  readonly revision: number;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
}

/** True when the key was last written at this revision; 0: when it does not exist. */
export interface Unchanged {
  readonly key: string;
  readonly modRevision: number;
}

export type Operation =
  | { readonly kind: "range"; readonly range: RangeRequest }
  | { readonly kind: "put"; readonly key: string; readonly value: string; readonly lease?: number }
  | { readonly kind: "delete"; readonly key: string; readonly end?: string }
  | { readonly kind: "txn"; readonly txn: TxnRequest };

export interface TxnRequest {
  readonly compare: readonly Unchanged[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
}

export interface TxnResponse {
  readonly revision: number;
  readonly succeeded: boolean;
  /** Of the ranges among the operations, in order. */
  readonly ranges: readonly RangeResponse[];
}

export interface WatchRequest {
  readonly id: number;
  readonly key: string;
  readonly end: string;
  readonly from: number;
}

export interface WatchEvent extends KeyValue {
  readonly deleted: boolean;
}

export interface WatchResponse {
  readonly id: number;
  readonly created: boolean;
  readonly canceled: boolean;
  /** Not 0: what came before this revision is gone, and the watch with it. */
  readonly compactRevision: number;
  readonly reason: string;
  readonly events: readonly WatchEvent[];
}

/** A lease by which keys live for so many seconds. */
export interface Lease {
  readonly id: number;
  readonly ttlSeconds: number;
}

export interface Login {
  readonly name: string;
  readonly password: string;
}
