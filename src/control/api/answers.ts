// From what the control plane knows to what the API says.

import { jsonAnswer, problemAnswer } from "../../admin/answer.ts";
import type { Answer } from "../../admin/answer.ts";
import { membersOf } from "../members.ts";
import type { Rejection } from "../plans.ts";
import type { ConnectedService, Resource, SandboxResource } from "../resource.ts";
import type { Refusal } from "../writer.ts";
import type { ApiBackend, SandboxStatus } from "./backend.ts";

/** Entries from which on a list is written without indentation: nobody reads it, and it is half as long. */
const INDENTED_MAX = 200;
/** What a client that was told to come again should wait, in seconds. */
const STORE_DOWN_SECONDS = 5;
const BUSY_SECONDS = 1;

/** A resource as the API tells it: name, spec, what the control plane keeps beside it, what goes on (`status`: known better). */
export function describeResource(
  resource: Resource,
  backend: Pick<ApiBackend, "state" | "status">,
  status?: SandboxStatus,
): object {
  const { name, spec, meta } = resource;
  switch (resource.kind) {
    case "service":
      return { name, ...spec, ...meta };
    case "sandbox": {
      const { connected, ...rest } = resource.spec;
      const known = status ?? backend.status(name);
      return {
        name,
        ...rest,
        ...(connected === undefined ? {} : { connected: describeConnections(connected) }),
        ...meta,
        ...(known === undefined ? {} : { status: known }),
      };
    }
    case "group":
      return { name, ...spec, members: membersNow(resource, backend), ...meta };
  }
}

/** Whoever reads it must not be able to take the session. */
function describeConnections(connected: NonNullable<SandboxResource["spec"]["connected"]>): object {
  const withoutSession = ({ endpoints, replica, by, machine, since }: ConnectedService): object => {
    return { endpoints, replica, by, machine, since };
  };
  return Object.fromEntries(Object.entries(connected).map(([service, one]) => [service, withoutSession(one)]));
}

function membersNow(
  group: Extract<Resource, { kind: "group" }>,
  { state }: Pick<ApiBackend, "state">,
): readonly string[] {
  const known = state.table.groups.get(group.name);
  if (known !== undefined && state.find("group", group.name) === group) return known.sandboxes;
  return membersOf(group, new Map(state.list("sandbox").map((sandbox) => [sandbox.name, sandbox])));
}

/** RFC 9110 §8.8.3. */
export function entityTag({ meta }: Resource): string {
  return `"${meta.version}"`;
}

/** JSON; a long list without indentation. */
export function listAnswer(value: object, length: number): Answer {
  if (length <= INDENTED_MAX) return jsonAnswer(200, value);
  return { status: 200, contentType: "application/json", body: JSON.stringify(value) };
}

const statuses: Readonly<Record<Refusal["refused"], number>> = {
  "not-found": 404,
  exists: 409,
  "in-use": 409,
  managed: 409,
  changed: 412,
  invalid: 422,
  busy: 503,
  "store-down": 503,
};

/** Why nothing was written, as a problem. */
export function refusalAnswer(refusal: Rejection): Answer {
  const { refused, message, fields } = refusal;
  const status = statuses[refused];
  const seconds = refused === "store-down" ? STORE_DOWN_SECONDS : BUSY_SECONDS;
  const headers: Readonly<Record<string, string>> = status === 503 ? { "retry-after": String(seconds) } : {};
  return problemAnswer(status, message, fields === undefined ? {} : { problems: fields }, headers);
}
