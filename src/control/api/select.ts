// Which resources of a list are wanted: `?label=team=shop&label=ci&owner=dana&limit=50&after=pr-7`.

import type { Answer } from "../../admin/answer.ts";
import { badQuery } from "../../admin/query.ts";
import type { Query } from "../../admin/query.ts";
import type { Resource } from "../resource.ts";
import type { ApiParameter } from "./route.ts";

const LIMIT_MAX = 10_000;

export const listParameters: readonly ApiParameter[] = [
  {
    name: "label",
    doc: "only those with this label, as in team=shop, or ci for any value; repeated: with all of them",
    repeatable: true,
    schema: { type: "array", items: { type: "string" } },
  },
  { name: "owner", doc: "only those of this owner", schema: { type: "string" } },
  {
    name: "limit",
    doc: "at most so many, 1 to 10000; default: all",
    schema: { type: "integer", minimum: 1, maximum: LIMIT_MAX },
  },
  {
    name: "after",
    doc: "only those whose names come after this one: `next` of the page before",
    schema: { type: "string" },
  },
];

/** A page of `all`, which is in order of names; `next`: the last name, when there are more. */
export function selectPage<R extends Resource>(
  all: readonly R[],
  query: Query,
): { readonly page: readonly R[]; readonly next: string | undefined } | Answer {
  const limitText = query.get("limit")?.[0];
  const limit = limitText === undefined ? Number.POSITIVE_INFINITY : Number(limitText);
  if (limitText !== undefined && (!/^[0-9]{1,5}$/u.test(limitText) || limit < 1 || limit > LIMIT_MAX)) {
    return badQuery(
      `limit is ${JSON.stringify(limitText.slice(0, 100))}, not a number from 1 to ${LIMIT_MAX}`,
      listParameters,
    );
  }
  const wanted: (readonly [name: string, value: string | undefined])[] = [];
  for (const text of query.get("label") ?? []) {
    const at = text.indexOf("=");
    if (at === 0)
      return badQuery(`label ${JSON.stringify(text)} has no name; write it as in team=shop`, listParameters);
    wanted.push(at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]);
  }
  const owner = query.get("owner")?.[0];
  const after = query.get("after")?.[0];
  const fits = ({ name, spec }: R): boolean => {
    if (after !== undefined && name <= after) return false;
    if (owner !== undefined && spec.owner !== owner) return false;
    return wanted.every(
      ([label, value]) => Object.hasOwn(spec.labels, label) && (value === undefined || spec.labels[label] === value),
    );
  };
  const page: R[] = [];
  for (const resource of all) {
    if (!fits(resource)) continue;
    if (page.length === limit) return { page, next: page.at(-1)?.name };
    page.push(resource);
  }
  return { page, next: undefined };
}
