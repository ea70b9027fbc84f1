// The hand-written codec against schema/table-feed.proto itself, read by the library that knows how.
import { fileURLToPath } from "node:url";
import { loadSync, type MessageTypeDefinition } from "@grpc/proto-loader";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeFromControl, decodeFromSidecar, encodeFromControl, encodeFromSidecar } from "./codec.ts";
import { FOLLOW_PATH } from "./messages.ts";
import type { AnswerBody, FromControl, FromSidecar, QuestionBody } from "./messages.ts";

const proto = fileURLToPath(new URL("../../schema/table-feed.proto", import.meta.url));
const definitions = loadSync(proto, { keepCase: false, longs: Number, defaults: true, arrays: true, oneofs: true });
const fromSidecarType = typeOf("sidelane.feed.v1.FromSidecar");
const fromControlType = typeOf("sidelane.feed.v1.FromControl");

interface Type {
  deserialize(bytes: Buffer): object;
  serialize(message: object): Buffer;
}

function typeOf(name: string): Type {
  const { deserialize, serialize } = definitions[name] as MessageTypeDefinition<object, object>;
  return { deserialize, serialize };
}

// --- any message

const text = fc.oneof(fc.string({ maxLength: 12 }), fc.string({ unit: "binary", maxLength: 6 }));
const texts = fc.array(text, { maxLength: 4 });
const uint32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const revision = fc.maxSafeNat();
const portEndpoints = fc.array(fc.record({ port: text, endpoints: texts }), { maxLength: 3 });

const service = fc.record({
  name: text,
  hosts: texts,
  ports: fc.array(fc.record({ name: text, number: uint32 }), { maxLength: 3 }),
  baseline: portEndpoints,
});
const sandbox = fc.record({
  name: text,
  key: text,
  strict: fc.boolean(),
  services: fc.array(fc.record({ service: text, endpoints: portEndpoints }), { maxLength: 3 }),
});
const group = fc.record({ name: text, key: text, sandboxes: texts });
const scope = fc.record({ services: texts, names: fc.boolean() });
const hello = fc.record({
  instance: text,
  service: text,
  sandbox: text,
  host: text,
  version: text,
  scope,
  source: text,
  revision,
  routes: fc.boolean(),
  probes: fc.boolean(),
});
const probeResult = fc.record({
  answered: fc.boolean(),
  destination: text,
  endpoint: text,
  status: uint32,
  detail: text,
});
const answer: fc.Arbitrary<AnswerBody> = fc.oneof(
  fc.record({ kind: fc.constant("probe" as const), probe: probeResult }),
  fc.record({ kind: fc.constant("journal" as const), journal: text }),
  fc.record({ kind: fc.constant("error" as const), error: text }),
);
const busy = fc.array(fc.record({ sandbox: text, exchanges: uint32 }), { maxLength: 3 });
const fromSidecar: fc.Arbitrary<FromSidecar> = fc.oneof(
  fc.record({ kind: fc.constant("hello" as const), hello }),
  fc.record({
    kind: fc.constant("applied" as const),
    applied: fc.record({ revision, error: text, problems: texts }),
  }),
  fc.record({ kind: fc.constant("activity" as const), activity: fc.record({ used: texts, busy }) }),
  fc.record({ kind: fc.constant("answer" as const), id: revision, answer }),
  fc.constant({ kind: "goodbye" as const }),
);
const question: fc.Arbitrary<QuestionBody> = fc.oneof(
  fc.record({
    kind: fc.constant("probe" as const),
    probe: fc.record({ service: text, port: text, key: text, protocol: text, path: text }),
  }),
  fc.record({
    kind: fc.constant("journal" as const),
    journal: fc.record({ trace: text, key: text, limit: uint32 }),
  }),
);
const update = fc.record({
  source: text,
  whole: fc.boolean(),
  revision,
  last: fc.boolean(),
  services: fc.array(service, { maxLength: 3 }),
  sandboxes: fc.array(sandbox, { maxLength: 3 }),
  groups: fc.array(group, { maxLength: 3 }),
  removedServices: texts,
  removedSandboxes: texts,
  removedGroups: texts,
});
const fromControl: fc.Arbitrary<FromControl> = fc.oneof(
  fc.record({ kind: fc.constant("update" as const), update }),
  fc.record({ kind: fc.constant("question" as const), id: revision, withinMs: uint32, question }),
  fc.record({ kind: fc.constant("reconnect" as const), afterMs: uint32 }),
);

// --- as the library has them

/** The message as the library's object: `message` names the field of the oneof that is set. */
function sidecarObject(from: FromSidecar): object {
  switch (from.kind) {
    case "hello":
      return { hello: from.hello };
    case "applied":
      return { applied: from.applied };
    case "activity":
      return { activity: from.activity };
    case "answer":
      return { answer: { id: from.id, ...answerObject(from.answer) } };
    case "goodbye":
      return { goodbye: {} };
    case "unknown":
      return {};
  }
}

function answerObject(body: AnswerBody): object {
  if (body.kind === "error") return { error: body.error };
  return body.kind === "probe" ? { error: "", probe: body.probe } : { error: "", journal: body.journal };
}

function controlObject(from: FromControl): object {
  switch (from.kind) {
    case "update":
      return { update: from.update };
    case "question": {
      const { id, withinMs, question: body } = from;
      return {
        question: { id, withinMs, ...(body.kind === "probe" ? { probe: body.probe } : { journal: body.journal }) },
      };
    }
    case "reconnect":
      return { reconnect: { afterMs: from.afterMs } };
    case "unknown":
      return {};
  }
}

/** Without what says which field of a oneof is set: the field itself is there. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value as Record<string, unknown>);
  const marks = new Set(["message", "answer", "question"]);
  return Object.fromEntries(
    fields
      .filter(([name, one]) => !(marks.has(name) && typeof one === "string"))
      .map(([name, one]) => [name, plain(one)]),
  );
}

describe("what a sidecar says", () => {
  test("comes back as it was", () => {
    fc.assert(
      fc.property(fromSidecar, (from) => {
        expect(decodeFromSidecar(encodeFromSidecar(from))).toEqual(from);
      }),
    );
  });

  test("is read by the schema as it is meant, and the other way round", () => {
    fc.assert(
      fc.property(fromSidecar, (from) => {
        expect(plain(fromSidecarType.deserialize(encodeFromSidecar(from)))).toEqual(sidecarObject(from));
        expect(decodeFromSidecar(fromSidecarType.serialize(sidecarObject(from)))).toEqual(from);
      }),
    );
  });
});

describe("what the control plane says", () => {
  test("comes back as it was", () => {
    fc.assert(
      fc.property(fromControl, (from) => {
        expect(decodeFromControl(encodeFromControl(from))).toEqual(from);
      }),
    );
  });

  test("is read by the schema as it is meant, and the other way round", () => {
    fc.assert(
      fc.property(fromControl, (from) => {
        expect(plain(fromControlType.deserialize(encodeFromControl(from)))).toEqual(controlObject(from));
        expect(decodeFromControl(fromControlType.serialize(controlObject(from)))).toEqual(from);
      }),
    );
  });
});

describe("bytes that are no message", () => {
  const decoders = [
    ["from a sidecar", decodeFromSidecar, fromSidecar.map(encodeFromSidecar)],
    ["from the control plane", decodeFromControl, fromControl.map(encodeFromControl)],
  ] as const;

  /** Throws an Error, or returns something; never anything else, and never for long. */
  function survives(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): void {
    try {
      decode(bytes);
    } catch (error) {
      expect(error).toBeInstanceOf(Error);
    }
  }

  test.each(decoders)("%s: anything at all", (_, decode) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => survives(decode, bytes)),
      { numRuns: 2000 },
    );
  });

  test.each(decoders)("%s: with some bytes changed", (_, decode, messages) => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(messages, changes, (bytes, changed) => {
        const damaged = Uint8Array.from(bytes);
        for (const [at, value] of changed) if (damaged.length > 0) damaged[at % damaged.length] = value;
        survives(decode, damaged);
      }),
      { numRuns: 1000 },
    );
  });

  test.each(decoders)("%s: cut off anywhere, it throws", (_, decode, messages) => {
    fc.assert(
      fc.property(messages, fc.nat(), (bytes, at) => {
        fc.pre(bytes.length > 1);
        // One field of the message holds all the rest: cut inside, it has fewer bytes than it says.
        const end = 1 + (at % (bytes.length - 1));
        expect(() => decode(bytes.subarray(0, end))).toThrow(Error);
      }),
    );
  });

  test.each([
    ["a length beyond the end", "0aff0100"],
    ["a length of four gigabytes", "0affffffff0f"],
    ["a varint without end", "0a0bffffffffffffffffffffff"],
    ["groups in groups", "0b".repeat(5000)],
    ["a field without number", "00"],
    ["an inner message longer than its outer one", "0a020aff"],
  ])("%s is an error", (_, hex) => {
    const bytes = Buffer.from(hex, "hex");
    expect(() => decodeFromSidecar(bytes)).toThrow(Error);
    expect(() => decodeFromControl(bytes)).toThrow(Error);
  });

  test.each(decoders)("%s: what a later version says is passed over", (_, decode) => {
    // Field 100 of each wire type, and nothing else.
    const unknown = Buffer.from(
      "a006 01 a206 03 616263 a106 0000000000000000 a506 00000000".replaceAll(" ", ""),
      "hex",
    );
    expect(decode(unknown)).toEqual({ kind: "unknown" });
    expect(decode(Buffer.alloc(0))).toEqual({ kind: "unknown" });
  });
});

test("the path is that of the schema's method", () => {
  const feed = definitions["sidelane.feed.v1.TableFeed"] as Record<string, { readonly path: string }>;
  expect(feed["Follow"]?.path).toBe(FOLLOW_PATH);
});
