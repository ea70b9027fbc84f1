/** One step of a JSON Patch (RFC 6902); of its six kinds these three are enough. */
export type Operation =
  | { readonly op: "add" | "replace"; readonly path: string; readonly value: unknown }
  | { readonly op: "remove"; readonly path: string };

/** One step of a JSON pointer (RFC 6901 §3). */
function pointerStep(text: string): string {
  return text.replaceAll("~", "~0").replaceAll("/", "~1");
}

/** Puts members into a map that may not be there yet, in the order given; what it has under the same name is replaced. */
export function addMembers(
  path: string,
  map: Readonly<Record<string, unknown>> | undefined | null,
  members: Readonly<Record<string, unknown>>,
): readonly Operation[] {
  if (map === undefined || map === null) return [{ op: "add", path, value: members }];
  return Object.entries(members).map(([name, value]) => ({ op: "add", path: `${path}/${pointerStep(name)}`, value }));
}

/** Takes a member away from a map, if it is there. */
export function removeMember(
  path: string,
  map: Readonly<Record<string, unknown>> | undefined | null,
  name: string,
): readonly Operation[] {
  return map?.[name] === undefined ? [] : [{ op: "remove", path: `${path}/${pointerStep(name)}` }];
}

/** Puts elements at the front or at the end of a list that may not be there yet. */
export function addElements(
  path: string,
  list: readonly unknown[] | undefined | null,
  elements: readonly unknown[],
  where: "first" | "last",
): readonly Operation[] {
  if (elements.length === 0) return [];
  if (list === undefined || list === null) return [{ op: "add", path, value: elements }];
  return elements.map((value, index) => ({ op: "add", path: `${path}/${where === "first" ? index : "-"}`, value }));
}
