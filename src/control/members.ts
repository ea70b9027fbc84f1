// Which sandboxes belong to a group, and what of a sandbox the table shows.

import { feedGroup, feedSandbox } from "../feed/convert.ts";
import type { FeedGroup, FeedSandbox } from "../feed/messages.ts";
import type { GroupResource, LabelMatch, SandboxResource } from "./resource.ts";

/** A sandbox as the feed tells it: developers' machines that are connected answer instead of its own endpoints. */
export function sandboxOf({ name, spec }: SandboxResource): FeedSandbox {
  const services = { ...spec.services };
  for (const [service, connected] of Object.entries(spec.connected ?? {})) services[service] = connected.endpoints;
  return feedSandbox(name, { key: spec.key, strict: spec.strict, services });
}

/** A group with those of its sandboxes that exist; there may be none. */
export function groupOf(group: GroupResource, sandboxes: ReadonlyMap<string, SandboxResource>): FeedGroup {
  return feedGroup(group.name, { key: group.spec.key, sandboxes: membersOf(group, sandboxes) });
}

/** Names of the sandboxes of a group: in the order of its list, or by name where labels say who belongs to it. */
export function membersOf(group: GroupResource, sandboxes: ReadonlyMap<string, SandboxResource>): readonly string[] {
  const { sandboxes: listed } = group.spec;
  if (listed !== undefined) return listed.filter((name) => sandboxes.has(name));
  const members = [...sandboxes.values()].filter((sandbox) => isMember(group, sandbox));
  return members.map(({ name }) => name).toSorted();
}

/** Whether a sandbox, if there is one, belongs to a group. */
export function isMember({ spec }: GroupResource, sandbox: SandboxResource | undefined): boolean {
  if (sandbox === undefined) return false;
  if (spec.sandboxes !== undefined) return spec.sandboxes.includes(sandbox.name);
  return spec.match !== undefined && matches(spec.match, sandbox.spec.labels);
}

/** A match that asks for nothing matches nothing: it would take every sandbox of everybody. */
function matches({ all = {}, any = {} }: LabelMatch, labels: Readonly<Record<string, string>>): boolean {
  const has = ([label, value]: readonly [string, string | readonly string[]]): boolean => {
    if (!Object.hasOwn(labels, label)) return false;
    const own = labels[label] ?? "";
    return typeof value === "string" ? own === value : value.includes(own);
  };
  const wanted = Object.entries(all);
  const oneOf = Object.entries(any);
  if (wanted.length + oneOf.length === 0) return false;
  return wanted.every(has) && (oneOf.length === 0 || oneOf.some(has));
}
