// What went wrong with etcd, for people: what etcd says, and what to look at.

import { EtcdRefusedError } from "./endpoints.ts";

const hints: readonly (readonly [said: string, hint: string])[] = [
  ["user name is empty", "it asks for a user: etcd.username and etcd.passwordFile"],
  ["authentication failed", "look at etcd.username and etcd.passwordFile"],
  ["permission denied", "the user needs readwrite below the prefix: etcdctl role grant-permission"],
  ["database space exceeded", "etcdctl compact, defrag, alarm disarm"],
];

export function sentenceOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof EtcdRefusedError)) return message;
  const hint = hints.find(([said]) => message.includes(said));
  return `etcd refuses: ${message}${hint === undefined ? "" : ` (${hint[1]})`}`;
}
