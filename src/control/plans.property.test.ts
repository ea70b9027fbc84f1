// Whatever is asked for, in whatever order: a table that was valid stays valid, although only a part of it is looked at for each
// change, and what is refused would have made it invalid.

import fc from "fast-check";
import { expect, test } from "vitest";
import { validate } from "../routing/validate.ts";
import { deletePlan, patchPlan, putPlan } from "./plans.ts";
import type { Planned, Rejection } from "./plans.ts";
import type { Kind, Resource, ResourceId } from "./resource.ts";
import { ControlState } from "./state.ts";
import type { DraftResource } from "./writer.ts";
import { metaOf } from "./fixture.ts";

const names = ["a", "b", "c", "A", "constructor"];
const name = fc.constantFrom(...names);
const list = fc.constantFrom(["10.0.0.1:80"], ["10.0.0.2:80", "h:1"]);
const endpoints = fc.oneof(
  list,
  fc.constantFrom({ http: ["10.0.0.1:80"], grpc: ["10.0.0.1:81"] }, { http: ["10.0.0.1:80"] }),
);
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

const service = fc.record({
  hosts: optional(fc.uniqueArray(name, { minLength: 1, maxLength: 2 })),
  ports: optional(fc.constantFrom<Record<string, number>>({ http: 1 }, { http: 1, grpc: 2 })),
  baseline: optional(endpoints),
});
const sandbox = fc.record({
  key: optional(name),
  services: fc.dictionary(name, endpoints, { maxKeys: 2 }),
  labels: fc.constantFrom<Record<string, string>>({}, { team: "x" }, { team: "y" }),
});
const group = fc.oneof(
  fc.record({ key: optional(name), sandboxes: fc.uniqueArray(name, { minLength: 1, maxLength: 3 }) }),
  fc.record({ match: fc.constantFrom({ all: { team: "x" } }, { any: { team: "x", ci: "1" } }) }),
);

const spec: Readonly<Record<Kind, fc.Arbitrary<object>>> = { service, sandbox, group };
const kinds = ["service", "sandbox", "group"] as const;

type Step = { readonly kind: Kind; readonly name: string; readonly fields: object; readonly how: string };
const step: fc.Arbitrary<Step> = fc.constantFrom(...kinds).chain((kind) =>
  fc.record({
    kind: fc.constant(kind),
    name,
    fields: spec[kind],
    how: fc.constantFrom("create", "put", "put", "patch", "delete"),
  }),
);

function planOf(state: ControlState, { kind, name: target, fields, how }: Step): Planned | Rejection {
  const written = JSON.parse(JSON.stringify(fields)) as Record<string, unknown>; // as it comes over the wire
  const id = { kind, name: target };
  if (how === "delete") return deletePlan(state, id);
  if (how === "patch") return patchPlan(state, { ...id, patch: written, allowUnknownServices: true });
  const shape = { fields: written, actor: "ada", allowUnknownServices: true, resourcesMax: 1000 };
  return putPlan(state, { ...id, how: how === "create" ? "create" : "put", ...shape });
}

function apply(state: ControlState, puts: readonly DraftResource[], deletes: readonly ResourceId[]): void {
  const revision = state.revision + 1;
  state.changed({ revision, puts: puts.map((put): Resource => ({ ...put, meta: metaOf(revision) })), deletes });
}

test("the table stays valid, and nothing is refused without a reason", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const state = new ControlState();
      for (const one of steps) {
        const planned = planOf(state, one);
        if (!("refused" in planned)) {
          apply(state, planned.plan.puts, planned.plan.deletes);
          expect(validate(state.document()).problems).toEqual([]);
          continue;
        }
        expect(planned.message).not.toBe("");
        if (planned.refused === "invalid") expect(isInvalid(state, one)).toBe(true);
      }
    }),
    { numRuns: 400 },
  );
});

/** Whether the whole table would have problems with it. */
function isInvalid(before: ControlState, { kind, name: target, fields, how }: Step): boolean {
  const state = new ControlState();
  const all = [...before.list("service"), ...before.list("sandbox"), ...before.list("group")];
  state.reset({ revision: 1, resources: all });
  const known = before.find(kind, target)?.spec ?? {};
  const described = { labels: {}, owner: "", description: "", services: {} };
  const next = how === "patch" ? merged(known, fields) : { ...described, ...fields };
  if (kind === "group" && "sandboxes" in next && "match" in next) return true;
  // A list of members that are not there is dropped from the table before it could be seen there.
  const listed = (next as { readonly sandboxes?: readonly string[] }).sandboxes ?? [];
  if (listed.some((member) => before.find("sandbox", member) === undefined)) return true;
  apply(state, [{ kind, name: target, spec: next } as unknown as DraftResource], []);
  return validate(state.document()).problems.length > 0;
}

function merged(target: object, patch: object): object {
  const result: Record<string, unknown> = { ...target };
  for (const [field, value] of Object.entries(patch)) {
    if (value === undefined) continue;
    const old = result[field];
    const bothMaps = [old, value].every((one) => typeof one === "object" && one !== null && !Array.isArray(one));
    result[field] = bothMaps ? merged(old as object, value as object) : (value as unknown);
  }
  return result;
}
