import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { neededFields } from "./installation.ts";

const folder = join(import.meta.dirname, "../../../deploy/helm/sidelane/definitions");

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

test.each(["sandboxes", "routegroups"])("the fields that %s need are those that they have", (plural) => {
  const definition = parse(readFileSync(join(folder, `${plural}.yaml`), "utf8")) as {
    readonly spec: { readonly versions: readonly { readonly schema: { readonly openAPIV3Schema: Schema } }[] };
  };
  const spec = definition.spec.versions[0]?.schema.openAPIV3Schema.properties?.["spec"]?.properties ?? {};
  const forks = Object.keys(spec["forks"]?.items?.properties ?? {}).map((field) => `forks[].${field}`);
  const sorted = (names: readonly string[]): readonly string[] => names.toSorted((a, b) => a.localeCompare(b));
  expect(sorted(neededFields[plural] ?? [])).toEqual(sorted([...Object.keys(spec), ...forks]));
});
