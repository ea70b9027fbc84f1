// What a sidecar makes of a request, written a second time: on text, with regular expressions, in no hurry. It knows as much of
// each notation as the requests of amendments.property.test.ts use.
import { type Field, valuesOf, without } from "./world.ts";

export type Kind = "baggage" | "tracestate" | "header" | "host" | "query" | "cookie";

/** A carrier of the config. */
export interface ModelCarrier {
  readonly kind: Kind;
  readonly name: string;
  readonly propagate: boolean;
}

/** A sidecar. */
export interface ModelConfig {
  readonly carriers: readonly ModelCarrier[];
  /** Undefined: its listener is not at the edge, else what that trusts. */
  readonly edge: readonly ModelCarrier[] | undefined;
}

/** A request between two hops. */
export interface ModelRequest {
  readonly host: string;
  readonly target: string;
  readonly fields: readonly Field[];
}

/** What is done with it: whom its key selects ("": it has none), and what goes on. */
export interface ModelStep {
  readonly key: string;
  readonly request: ModelRequest;
}

/** In place of a field's value until the step is over: the field has to go, unless the key is written into it. */
const GONE = "\0";
const LISTS = { baggage: ",", tracestate: ",", cookie: ";" } as const;
const PREFIXED = /^(?!xn--)([\w-]+?)--([^.-].*)$/iu;

const trim = (text: string): string => text.replace(/^[ \t]+|[ \t]+$/gu, "");
const decoded = (text: string): string => decodeURIComponent(text);
const nameOf = (element: string): string => /^[^=;]*/u.exec(element)?.[0] ?? "";
const formDecoded = (text: string): string => decoded(text.replaceAll("+", " "));
const isBaggage = (element: string, name: string): boolean => formDecoded(nameOf(element)).trim() === name;
const pairsOf = (target: string): readonly string[] =>
  target.includes("?") ? target.replace(/^[^?]*\?/u, "").split("&") : [];

/** The key that one carrier finds. */
function read({ kind, name }: ModelCarrier, { host, target, fields }: ModelRequest, known: readonly string[]): string {
  switch (kind) {
    case "header":
      return valuesOf(fields, name).find((value) => value !== "") ?? "";
    case "baggage": {
      const values = valuesOf(fields, "baggage")
        .flatMap((value) => value.split(","))
        .filter((member) => trim(nameOf(member)) === name && member.includes("="))
        .map((member) => trim((member.split(";")[0] ?? "").replace(/^[^=]*=/u, "")))
        .filter((value) => value !== "");
      return decoded(values.at(-1) ?? "");
    }
    case "tracestate": {
      const member = valuesOf(fields, "tracestate")
        .flatMap((value) => value.split(",").map(trim))
        .find((each) => each.startsWith(`${name}=`) && each !== `${name}=`);
      return member?.slice(name.length + 1) ?? "";
    }
    case "cookie": {
      const firsts = valuesOf(fields, "cookie").map((value) => {
        const pair = value.split(";").find((each) => each.includes("=") && trim(nameOf(each)) === name) ?? "";
        return decoded(trim(pair.replace(/^[^=]*=/u, "")).replace(/^"(.*)"$/u, "$1"));
      });
      return firsts.find((value) => value !== "") ?? "";
    }
    case "query": {
      const pair = pairsOf(target).find((each) => formDecoded(nameOf(each)) === name) ?? "";
      return pair.includes("=") ? formDecoded(pair.slice(pair.indexOf("=") + 1)) : "";
    }
    case "host": {
      const bare = host.replace(/:\d+$/u, "");
      return known.includes(bare) ? "" : (PREFIXED.exec(bare)?.[1]?.toLowerCase() ?? "");
    }
  }
}

/** The value of a list without the elements of these names; as it is when it has none. */
function withoutNames(kind: keyof typeof LISTS, value: string, names: readonly string[]): string {
  const separator = LISTS[kind];
  const elements = value.split(separator);
  const isNamed = (element: string): boolean =>
    names.some((name) => (kind === "baggage" ? isBaggage(element, name) : trim(nameOf(element)) === name));
  if (!elements.some((element) => trim(element) !== "" && isNamed(element))) return value;
  return trim(elements.filter((element) => trim(element) !== "" && !isNamed(element)).join(separator));
}

/** The request without anything that these carriers would read. */
function stripped(request: ModelRequest, carriers: readonly ModelCarrier[], known: readonly string[]): ModelRequest {
  const named = (kind: Kind): string[] => carriers.filter((one) => one.kind === kind).map(({ name }) => name);
  const headers = named("header");
  const fields = request.fields.map(([name, value]): Field => {
    const lower = name.toLowerCase();
    if (headers.includes(lower)) return [name, GONE];
    if (!(lower in LISTS)) return [name, value];
    const kind = lower as keyof typeof LISTS;
    const left = withoutNames(kind, value, named(kind));
    return [name, left === "" && left !== value ? GONE : left];
  });
  const pairs = pairsOf(request.target);
  const kept = pairs.filter((pair) => !named("query").includes(formDecoded(nameOf(pair))));
  const path = request.target.replace(/\?.*$/u, "");
  const target = kept.length === pairs.length ? request.target : kept.length === 0 ? path : `${path}?${kept.join("&")}`;
  const [, whole = "", port = ""] = /^(.*?)(:\d+)?$/u.exec(request.host) ?? [];
  let host = whole;
  if (named("host").length > 0) {
    for (;;) {
      const rest = known.includes(host) ? undefined : PREFIXED.exec(host)?.[2];
      if (rest === undefined) break;
      host = rest;
    }
  }
  return { host: `${host}${port}`, target, fields };
}

/** The request with the key in baggage: all fields of it become one, in the place of the first. */
function written(request: ModelRequest, member: string, key: string, properties: string): ModelRequest {
  const whole = `${member}=${key}${properties === "" ? "" : `;${properties}`}`;
  const lefts = valuesOf(request.fields, "baggage")
    .filter((value) => value !== GONE)
    .map((value) => withoutNames("baggage", value, [member]))
    .filter((value) => value !== "");
  const joined = [...lefts, whole].reduce((before, value) => {
    const others = before.replace(/^[ \t,]+|[ \t,]+$/gu, "");
    return others === "" ? value : `${others},${value}`;
  }, "");
  const first = request.fields.findIndex(([name]) => name.toLowerCase() === "baggage");
  const fields = request.fields.map(([name, value], i): Field => {
    if (name.toLowerCase() !== "baggage") return [name, value];
    return [name, i === first ? joined : GONE];
  });
  return { ...request, fields: first === -1 ? [...fields, ["baggage", joined]] : fields };
}

function propertiesOf({ fields }: ModelRequest, name: string): string {
  const member = valuesOf(fields, "baggage")
    .flatMap((value) => value.split(","))
    .filter((each) => trim(nameOf(each)) === name && /=[ \t]*[^ \t;]/u.test(each))
    .at(-1);
  return trim(member?.includes(";") === true ? member.slice(member.indexOf(";") + 1) : "");
}

/** What a sidecar with this config makes of the request. @param known hosts of the table, as they are. */
export function step(config: ModelConfig, request: ModelRequest, known: readonly string[]): ModelStep {
  const { key, request: left } = amended(config, request, known);
  return { key, request: { ...left, fields: left.fields.filter(([, value]) => value !== GONE) } };
}

function amended({ carriers, edge }: ModelConfig, request: ModelRequest, known: readonly string[]): ModelStep {
  const member = carriers.find(({ kind }) => kind === "baggage")?.name ?? "sidelane";
  const asked = edge ?? carriers;
  const carrier = asked.find((one) => read(one, request, known) !== "");
  const key = carrier === undefined ? "" : read(carrier, request, known);
  let left = request;
  if (edge !== undefined) {
    const all = [...carriers, ...edge, { kind: "baggage", name: member, propagate: false } as const];
    const others = all.filter(({ kind, name }) => kind !== carrier?.kind || name !== carrier.name);
    left = stripped(request, others, known);
  }
  if (carrier === undefined || (!carrier.propagate && edge === undefined)) return { key, request: left };
  if (carrier.kind === "baggage" && carrier.name === member) return { key, request: left };
  const properties = carrier.kind === "baggage" ? propertiesOf(request, carrier.name) : "";
  return { key, request: written(left, member, key, properties) };
}

/** The fields in an order that does not depend on where a version puts what was changed: others first, then list by list. */
export function comparable({ host, target, fields }: ModelRequest): object {
  const names = ["baggage", "tracestate", "cookie"];
  const lower = fields.map(([name, value]): Field => [name.toLowerCase(), value]);
  return { host, target, others: without(lower, ...names), lists: names.map((name) => valuesOf(lower, name)) };
}
