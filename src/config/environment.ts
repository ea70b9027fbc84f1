// Environment twins: every scalar field of the proxy config can be given as `SIDELANE_<PATH>`, every one of the control config as
// `SIDELANE_CONTROL_<PATH>`, which wins over the file.

import type { Path } from "../routing/finding.ts";
import { nearest } from "../routing/nearest.ts";
import { ANY_NAME, scalarFields } from "./schema-fields.ts";
import type { JsonSchema, ScalarField } from "./schema-fields.ts";
import { fieldName } from "./shape-problems.ts";
import type { Position, Problem } from "./problem.ts";
import type { SourceMap } from "./yaml.ts";

/** Variables of the process, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Which variables belong to a kind of config. */
export interface TwinSpace {
  readonly prefix: string;
  /** Those with the prefix that are others' business: the command line's, or the other kind of config's. */
  readonly isForeign: (name: string) => boolean;
  /** The page that lists them. */
  readonly page: string;
}

/** Variables of the proxy config. */
export const proxyTwins: TwinSpace = {
  prefix: "SIDELANE_",
  isForeign: (name) =>
    /^SIDELANE_(?:CONFIG|TOKEN|TOKEN_FILE|CA|CLIENT_CERTIFICATE|CLIENT_KEY|CONTROL|CONTROL_.*)$/u.test(name),
  page: "docs/configuration.md",
};

/** Variables of the control config. */
export const controlTwins: TwinSpace = {
  prefix: "SIDELANE_CONTROL_",
  isForeign: (name) => name === "SIDELANE_CONTROL_CONFIG",
  page: "docs/control-configuration.md",
};

/** List positions that a variable can name; a config has a handful. */
const INDEX_MAX = 99;

/**
 * The variable of a field: `onUnknownKey` in `tenancy` is `SIDELANE_TENANCY_ON_UNKNOWN_KEY`; lists count from 0. Names that
 * people choose are folded: `payment-api` is `PAYMENT_API`.
 */
export function environmentName(path: Path, { prefix }: Pick<TwinSpace, "prefix"> = proxyTwins): string {
  const words = path.map((step) =>
    String(step)
      .replaceAll(/[A-Z]/gu, (letter) => `_${letter}`)
      .toUpperCase(),
  );
  return prefix + words.join("_");
}

function foldedName(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9]/gu, "_").toUpperCase();
}

/** A document with the values of the environment laid over it. */
export interface Overlaid {
  readonly value: unknown;
  /** Variable that gave the value at a path (joined by `/`), or that brought the map or list there into being. */
  readonly origins: ReadonlyMap<string, string>;
  readonly problems: readonly Problem[];
}

/**
 * Lays the variables over the document of the file, which stays as it is. An empty variable counts as not set, which is what
 * templates produce. Unknown ones are problems, except those that Kubernetes sets for a service called `sidelane…`.
 */
export function overlay(
  document: unknown,
  environment: Environment,
  schema: JsonSchema,
  space: TwinSpace = proxyTwins,
): Overlaid {
  const fields = scalarFields(schema);
  const root = structuredClone(document ?? {});
  const origins = new Map<string, string>();
  const problems: Problem[] = [];
  for (const name of Object.keys(environment).toSorted(byNumber)) {
    const text = environment[name];
    if (!name.startsWith(space.prefix) || text === undefined || text === "" || space.isForeign(name)) continue;
    const found = fieldOf(name, fields, root, space);
    if (found === undefined) {
      if (!isServiceLink(name, text)) problems.push(unknownVariable(name, fields, space));
      continue;
    }
    const gap = put(root, found.path, convert(text, found.field.schema), (made) => origins.set(made.join("/"), name));
    if (gap !== undefined) problems.push({ file: name, line: 0, column: 0, ...gap });
    else origins.set(found.path.join("/"), name);
  }
  return { value: root, origins, problems };
}

/** Locates what came from the environment at its variable, and the rest in the file. */
export function withEnvironment(source: SourceMap, origins: ReadonlyMap<string, string>): SourceMap {
  return {
    locate(places) {
      const inFile = source.locate(places);
      return places.map((place, index) => {
        const name = originOf(place.path, origins);
        return name === undefined ? (inFile[index] as Position) : { file: name, line: 0, column: 0 }; // one for each place
      });
    },
    written: (path) => source.written(path),
  };
}

/** What is missing in a map that the environment made is a matter of the variable that made it. */
function originOf(path: Path, origins: ReadonlyMap<string, string>): string | undefined {
  for (let length = path.length; length > 0; length--) {
    const name = origins.get(path.slice(0, length).join("/"));
    if (name !== undefined) return name;
  }
  return undefined;
}

interface FoundField {
  readonly field: ScalarField;
  readonly path: Path;
}

const FOLDED_ANY = ANY_NAME.toUpperCase();

/** `0` in a field's path stands for any position, `ANY_NAME` for any name. */
function fieldOf(
  name: string,
  fields: readonly ScalarField[],
  root: unknown,
  space: TwinSpace,
): FoundField | undefined {
  for (const field of fields) {
    const pattern = environmentName(field.path, space)
      .replaceAll(/_0(?=_|$)/gu, "_([0-9]{1,2})")
      .replaceAll(FOLDED_ANY, "([A-Z0-9][A-Z0-9_]*)");
    const match = new RegExp(`^${pattern}$`, "u").exec(name);
    if (match === null) continue;
    const found = match.slice(1).values();
    const path: (string | number)[] = [];
    for (const step of field.path) {
      const text = step === 0 || step === ANY_NAME ? (found.next().value ?? "") : "";
      path.push(step === 0 ? Number(text) : step === ANY_NAME ? unfolded(text, path, root) : step);
    }
    return { field, path };
  }
  return undefined;
}

/** The name of the map at `path` that is folded to `text`; when it has none, the one that Kubernetes would allow. */
function unfolded(text: string, path: Path, root: unknown): string {
  let map = root;
  for (const step of path) map = (map as Record<string | number, unknown> | null | undefined)?.[step];
  const names = typeof map === "object" && map !== null ? Object.keys(map) : [];
  return names.find((name) => foldedName(name) === text) ?? text.toLowerCase().replaceAll("_", "-");
}

function unknownVariable(name: string, fields: readonly ScalarField[], space: TwinSpace): Problem {
  const indices = /_([0-9]{1,2})(?=_|$)/u.exec(name)?.[1] ?? "0";
  const names = fields.map((field) => environmentName(field.path, space).replaceAll(/_0(?=_|$)/gu, `_${indices}`));
  const guess = nearest(name, names);
  return {
    file: name,
    line: 0,
    column: 0,
    message: "no field of the config has this environment variable",
    hint: guess === undefined ? `unset it; ${space.page} lists them all` : `write ${guess}`,
  };
}

/**
 * Kubernetes sets variables for every service of the namespace. A service called `sidelane` or `sidelane-control` gives
 * `SIDELANE_SERVICE_HOST`, `SIDELANE_CONTROL_PORT_80_TCP_ADDR` and so on, in every pod.
 */
function isServiceLink(name: string, value: string): boolean {
  if (name.endsWith("_SERVICE_HOST")) return true;
  if (/_SERVICE_PORT(?:_[A-Z0-9_]+)?$/u.test(name)) return /^[0-9]+$/u.test(value);
  if (/_PORT_[0-9]+_(?:TCP|UDP|SCTP)_(?:PROTO|PORT|ADDR)$/u.test(name)) return true;
  return /_PORT(?:_[0-9]+_(?:TCP|UDP|SCTP))?$/u.test(name) && /^(?:tcp|udp|sctp):\/\//u.test(value);
}

/** What does not convert stays text, and the schema says what it should have been. */
function convert(text: string, schema: JsonSchema): string | number | boolean {
  if (schema.type === "integer" || schema.type === "number") {
    return /^-?[0-9]+(?:\.[0-9]+)?$/u.test(text) ? Number(text) : text;
  }
  if (schema.type === "boolean" && (text === "true" || text === "false")) return text === "true";
  return text;
}

interface Gap {
  readonly message: string;
  readonly hint: string;
}

/**
 * Sets a value deep in the document and tells which maps and lists that took. A part that has the wrong shape is left for
 * the schema to complain about.
 */
function put(root: unknown, path: Path, value: unknown, onMade: (path: Path) => void): Gap | undefined {
  let inside = root;
  for (const [index, step] of path.entries()) {
    if (typeof inside !== "object" || inside === null) return undefined;
    const map = inside as Record<string | number, unknown>;
    if (Array.isArray(inside) && typeof step === "number" && step > Math.min(inside.length, INDEX_MAX)) {
      const list = fieldName(path.slice(0, index));
      const message = `${list} has ${inside.length} entries, so there can be no entry ${step}`;
      return { message, hint: `count from 0 without gaps; the next one is ${inside.length}` };
    }
    if (index === path.length - 1) map[step] = value;
    else if (map[step] === undefined || map[step] === null) {
      map[step] = typeof path[index + 1] === "number" ? [] : {};
      onMade(path.slice(0, index + 1));
    }
    inside = map[step];
  }
  return undefined;
}

/** `…_2_…` before `…_10_…`, so that lists fill up in order. */
function byNumber(a: string, b: string): number {
  return a.localeCompare(b, "en", { numeric: true });
}
