// Names in Kubernetes: the labels and annotations of Sidelane, and names that fit where Kubernetes wants them.

import { createHash } from "node:crypto";

/** API group of Sandbox, RouteGroup and TableCommit, and prefix of every label and annotation. */
export const API_GROUP = "sidelane.dev";
export const API_VERSION = `${API_GROUP}/v1alpha1`;

/** Field manager of everything that the operator applies. */
export const FIELD_MANAGER = "sidelane-operator";

/** Who keeps an object, in the label that all tools know. */
export const MANAGED_BY_LABEL = "app.kubernetes.io/managed-by";

/** On fork objects and their pods: the name of the Sandbox (label), or its name in the control plane (annotation). */
export const SANDBOX_LABEL = `${API_GROUP}/sandbox`;
/** On fork objects and their pods: the name of the fork. Together with the sandbox label it is the selector of its pods. */
export const FORK_LABEL = `${API_GROUP}/fork`;

/** On what the operator writes to the control plane: the namespace of the object that it is about. */
export const NAMESPACE_LABEL = `${API_GROUP}/namespace`;

/** Annotations of fork objects and their pods. */
export const SANDBOX_ANNOTATION = `${API_GROUP}/sandbox`;
/** The service that the pods answer for, as the table names it: `checkout.shop`. */
export const SERVICE_ANNOTATION = `${API_GROUP}/service`;
/** The key with which every request that leaves the pod is stamped. */
export const STAMP_ANNOTATION = `${API_GROUP}/stamp`;
/** What a fork was made from: `Deployment/checkout`. */
export const WORKLOAD_ANNOTATION = `${API_GROUP}/workload`;
/** Labels of the baseline's pods that the fork must not have, on the fork's workload, for people who wonder. */
export const REMOVED_LABELS_ANNOTATION = `${API_GROUP}/removed-labels`;

/** Longest DNS label, and longest value of a label. */
export const NAME_MAX = 63;

/** Shortest hash that tells the names of one namespace apart: 25 bits, and only names with the same beginning compete. */
const HASH_LENGTH = 5;
/** No vowels, so that a hash is never a word, and none of 0, 1 and 3, which read like o, l and e. */
const HASH_ALPHABET = "bcdfghjklmnpqrstvwxz2456789";

/** A short hash of a text: lower-case letters and digits, the same for ever. */
export function shortHash(text: string, length = HASH_LENGTH): string {
  const digest = createHash("sha256").update(text).digest();
  return [...digest.subarray(0, length)].map((byte) => HASH_ALPHABET[byte % HASH_ALPHABET.length]).join("");
}

/**
 * The parts joined by `-` as a name that Kubernetes takes everywhere (RFC 1035 label: lower-case letters, digits and `-`, a letter
 * first). What is too long is cut, and what was changed in any way gets a hash of the whole, so that two texts never share a name.
 */
export function objectName(parts: readonly string[], lengthMax: number = NAME_MAX): string {
  const wanted = parts.join("-");
  if (wanted.length <= lengthMax && /^[a-z](?:[-a-z0-9]*[a-z0-9])?$/u.test(wanted)) return wanted;
  const folded = wanted.toLowerCase().replaceAll(/[^a-z0-9]+/gu, "-");
  const plain = /^[a-z]/u.test(folded) ? folded : `s-${folded.replace(/^-+/u, "")}`;
  const head = plain.slice(0, lengthMax - HASH_LENGTH - 1).replace(/-+$/u, "");
  return `${head}-${shortHash(wanted)}`;
}

/** A text as the value of a label: at most 63 of letters, digits, `-`, `_` and `.`, a letter or digit at both ends. */
export function labelValue(text: string): string {
  if (text.length <= NAME_MAX && /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/u.test(text)) return text;
  const plain = text.replaceAll(/[^-A-Za-z0-9_.]+/gu, "-").replace(/^[^A-Za-z0-9]+/u, "");
  const head = plain.slice(0, NAME_MAX - HASH_LENGTH - 1).replace(/[^A-Za-z0-9]+$/u, "");
  const hash = shortHash(text);
  return head === "" ? hash : `${head}-${hash}`;
}

/** A service or sandbox of a namespace as the table and the control plane name it: `checkout.shop`. */
export function tableName(name: string, namespace: string): string {
  return `${name}.${namespace}`;
}
