// The messages of schema/table-feed.proto on the wire. Written by hand on protobufjs' reader and writer: the library that reads
// .proto files at run time would cost each sidecar 8 MB. codec.test.ts holds both against each other.
//
// Long because both directions of every message stand side by side, so that nobody changes one alone.
//
// Decoding throws on bytes that are no protobuf; fields that are not known are skipped, as the format asks for.

import protobuf from "protobufjs/minimal.js";
import type {
  Activity,
  AnswerBody,
  Applied,
  FeedGroup,
  FeedPortEndpoints,
  FeedSandbox,
  FeedService,
  FromControl,
  FromSidecar,
  Hello,
  JournalQuestion,
  Probe,
  ProbeResult,
  QuestionBody,
  Scope,
  Update,
} from "./messages.ts";
import { BYTES, VARINT, eachField, endOf, message, text } from "./protobuf.ts";

type Reader = protobuf.Reader;
type Writer = protobuf.Writer;

/** A uint64 as a number: revisions stay far below 2^53. */
function uint64(reader: Reader): number {
  return Number(reader.uint64());
}

function texts(writer: Writer, field: number, values: readonly string[]): void {
  for (const value of values) writer.uint32((field << 3) | BYTES).string(value);
}

function number(writer: Writer, field: number, value: number): void {
  if (value !== 0) writer.uint32((field << 3) | VARINT).uint64(value);
}

function flag(writer: Writer, field: number, value: boolean): void {
  if (value) writer.uint32((field << 3) | VARINT).bool(true);
}

// --- table parts

function writePortEndpoints(writer: Writer, { port, endpoints }: FeedPortEndpoints): void {
  text(writer, 1, port);
  texts(writer, 2, endpoints);
}

function readPortEndpoints(reader: Reader, end: number): FeedPortEndpoints {
  let port = "";
  const endpoints: string[] = [];
  eachField(reader, end, (field) => {
    if (field === 1) port = reader.string();
    else if (field === 2) endpoints.push(reader.string());
    else return false;
    return true;
  });
  return { port, endpoints };
}

function writeService(writer: Writer, service: FeedService): void {
  text(writer, 1, service.name);
  texts(writer, 2, service.hosts);
  for (const port of service.ports) {
    message(writer, 3, () => {
      text(writer, 1, port.name);
      number(writer, 2, port.number);
    });
  }
  for (const one of service.baseline) message(writer, 4, () => writePortEndpoints(writer, one));
}

function readService(reader: Reader, end: number): FeedService {
  let name = "";
  const hosts: string[] = [];
  const ports: { name: string; number: number }[] = [];
  const baseline: FeedPortEndpoints[] = [];
  eachField(reader, end, (field) => {
    if (field === 1) name = reader.string();
    else if (field === 2) hosts.push(reader.string());
    else if (field === 3) {
      const port = { name: "", number: 0 };
      eachField(reader, endOf(reader), (part) => {
        if (part === 1) port.name = reader.string();
        else if (part === 2) port.number = reader.uint32();
        else return false;
        return true;
      });
      ports.push(port);
    } else if (field === 4) baseline.push(readPortEndpoints(reader, endOf(reader)));
    else return false;
    return true;
  });
  return { name, hosts, ports, baseline };
}

function writeSandbox(writer: Writer, sandbox: FeedSandbox): void {
  text(writer, 1, sandbox.name);
  text(writer, 2, sandbox.key);
  flag(writer, 3, sandbox.strict);
  for (const { service, endpoints } of sandbox.services) {
    message(writer, 4, () => {
      text(writer, 1, service);
      for (const one of endpoints) message(writer, 2, () => writePortEndpoints(writer, one));
    });
  }
}

function readSandbox(reader: Reader, end: number): FeedSandbox {
  let name = "";
  let key = "";
  let strict = false;
  const services: { service: string; endpoints: FeedPortEndpoints[] }[] = [];
  eachField(reader, end, (field) => {
    if (field === 1) name = reader.string();
    else if (field === 2) key = reader.string();
    else if (field === 3) strict = reader.bool();
    else if (field === 4) {
      const changed = { service: "", endpoints: [] as FeedPortEndpoints[] };
      eachField(reader, endOf(reader), (part) => {
        if (part === 1) changed.service = reader.string();
        else if (part === 2) changed.endpoints.push(readPortEndpoints(reader, endOf(reader)));
        else return false;
        return true;
      });
      services.push(changed);
    } else return false;
    return true;
  });
  return { name, key, strict, services };
}

function writeGroup(writer: Writer, group: FeedGroup): void {
  text(writer, 1, group.name);
  text(writer, 2, group.key);
  texts(writer, 3, group.sandboxes);
}

function readGroup(reader: Reader, end: number): FeedGroup {
  let name = "";
  let key = "";
  const sandboxes: string[] = [];
  eachField(reader, end, (field) => {
    if (field === 1) name = reader.string();
    else if (field === 2) key = reader.string();
    else if (field === 3) sandboxes.push(reader.string());
    else return false;
    return true;
  });
  return { name, key, sandboxes };
}

// --- from the sidecar

/** A message of the sidecar as bytes. */
export function encodeFromSidecar(from: FromSidecar): Buffer {
  const writer = protobuf.Writer.create();
  switch (from.kind) {
    case "hello":
      message(writer, 1, () => writeHello(writer, from.hello));
      break;
    case "applied":
      message(writer, 2, () => {
        number(writer, 1, from.applied.revision);
        text(writer, 2, from.applied.error);
        texts(writer, 3, from.applied.problems);
      });
      break;
    case "activity":
      message(writer, 3, () => {
        texts(writer, 1, from.activity.used);
        for (const { sandbox, exchanges } of from.activity.busy) {
          message(writer, 2, () => {
            text(writer, 1, sandbox);
            number(writer, 2, exchanges);
          });
        }
      });
      break;
    case "answer":
      message(writer, 4, () => {
        number(writer, 1, from.id);
        writeAnswer(writer, from.answer);
      });
      break;
    case "goodbye":
      message(writer, 5, () => {});
      break;
    case "unknown":
      break;
  }
  return bytesOf(writer);
}

/** @throws Error when the bytes are no protobuf. */
export function decodeFromSidecar(bytes: Uint8Array): FromSidecar {
  const reader = protobuf.Reader.create(bytes);
  let from: FromSidecar = { kind: "unknown" };
  eachField(reader, reader.len, (field) => {
    if (field < 1 || field > 5) return false;
    const end = endOf(reader);
    if (field === 1) from = { kind: "hello", hello: readHello(reader, end) };
    else if (field === 2) from = { kind: "applied", applied: readApplied(reader, end) };
    else if (field === 3) from = { kind: "activity", activity: readActivity(reader, end) };
    else if (field === 4) from = readAnswer(reader, end);
    else {
      eachField(reader, end, () => false);
      from = { kind: "goodbye" };
    }
    return true;
  });
  return from;
}

function writeHello(writer: Writer, hello: Hello): void {
  text(writer, 1, hello.instance);
  text(writer, 2, hello.service);
  text(writer, 3, hello.sandbox);
  text(writer, 4, hello.host);
  text(writer, 5, hello.version);
  message(writer, 6, () => {
    texts(writer, 1, hello.scope.services);
    flag(writer, 2, hello.scope.names);
  });
  text(writer, 7, hello.source);
  number(writer, 8, hello.revision);
  flag(writer, 9, hello.routes);
  flag(writer, 10, hello.probes);
}

function readHello(reader: Reader, end: number): Hello {
  const hello = {
    instance: "",
    service: "",
    sandbox: "",
    host: "",
    version: "",
    scope: { services: [], names: false } as Scope,
    source: "",
    revision: 0,
    routes: false,
    probes: false,
  };
  eachField(reader, end, (field) => {
    switch (field) {
      case 1:
        hello.instance = reader.string();
        return true;
      case 2:
        hello.service = reader.string();
        return true;
      case 3:
        hello.sandbox = reader.string();
        return true;
      case 4:
        hello.host = reader.string();
        return true;
      case 5:
        hello.version = reader.string();
        return true;
      case 6:
        hello.scope = readScope(reader, endOf(reader));
        return true;
      case 7:
        hello.source = reader.string();
        return true;
      case 8:
        hello.revision = uint64(reader);
        return true;
      case 9:
        hello.routes = reader.bool();
        return true;
      case 10:
        hello.probes = reader.bool();
        return true;
      default:
        return false;
    }
  });
  return hello;
}

function readScope(reader: Reader, end: number): Scope {
  const services: string[] = [];
  let names = false;
  eachField(reader, end, (field) => {
    if (field === 1) services.push(reader.string());
    else if (field === 2) names = reader.bool();
    else return false;
    return true;
  });
  return { services, names };
}

function readApplied(reader: Reader, end: number): Applied {
  let revision = 0;
  let error = "";
  const problems: string[] = [];
  eachField(reader, end, (field) => {
    if (field === 1) revision = uint64(reader);
    else if (field === 2) error = reader.string();
    else if (field === 3) problems.push(reader.string());
    else return false;
    return true;
  });
  return { revision, error, problems };
}

function readActivity(reader: Reader, end: number): Activity {
  const used: string[] = [];
  const busy: { sandbox: string; exchanges: number }[] = [];
  eachField(reader, end, (field) => {
    if (field === 1) used.push(reader.string());
    else if (field === 2) {
      const one = { sandbox: "", exchanges: 0 };
      eachField(reader, endOf(reader), (part) => {
        if (part === 1) one.sandbox = reader.string();
        else if (part === 2) one.exchanges = reader.uint32();
        else return false;
        return true;
      });
      busy.push(one);
    } else return false;
    return true;
  });
  return { used, busy };
}

function writeAnswer(writer: Writer, answer: AnswerBody): void {
  switch (answer.kind) {
    case "error":
      return text(writer, 2, answer.error);
    case "probe": {
      const { answered, destination, endpoint, status, detail } = answer.probe;
      return message(writer, 3, () => {
        flag(writer, 1, answered);
        text(writer, 2, destination);
        text(writer, 3, endpoint);
        number(writer, 4, status);
        text(writer, 5, detail);
      });
    }
    case "journal":
      writer.uint32((4 << 3) | BYTES).string(answer.journal);
  }
}

function readAnswer(reader: Reader, end: number): FromSidecar {
  let id = 0;
  let answer: AnswerBody = { kind: "error", error: "" };
  eachField(reader, end, (field) => {
    if (field === 1) id = uint64(reader);
    else if (field === 2) answer = { kind: "error", error: reader.string() };
    else if (field === 3) answer = { kind: "probe", probe: readProbeResult(reader, endOf(reader)) };
    else if (field === 4) answer = { kind: "journal", journal: reader.string() };
    else return false;
    return true;
  });
  return { kind: "answer", id, answer };
}

function readProbeResult(reader: Reader, end: number): ProbeResult {
  const result = { answered: false, destination: "", endpoint: "", status: 0, detail: "" };
  eachField(reader, end, (field) => {
    if (field === 1) result.answered = reader.bool();
    else if (field === 2) result.destination = reader.string();
    else if (field === 3) result.endpoint = reader.string();
    else if (field === 4) result.status = reader.uint32();
    else if (field === 5) result.detail = reader.string();
    else return false;
    return true;
  });
  return result;
}

// --- from control

/** A message of the control plane as bytes. */
export function encodeFromControl(from: FromControl): Buffer {
  const writer = protobuf.Writer.create();
  switch (from.kind) {
    case "update":
      message(writer, 1, () => writeUpdate(writer, from.update));
      break;
    case "question":
      message(writer, 2, () => {
        number(writer, 1, from.id);
        number(writer, 2, from.withinMs);
        writeQuestion(writer, from.question);
      });
      break;
    case "reconnect":
      message(writer, 3, () => number(writer, 1, from.afterMs));
      break;
    case "unknown":
      break;
  }
  return bytesOf(writer);
}

/** @throws Error when the bytes are no protobuf. */
export function decodeFromControl(bytes: Uint8Array): FromControl {
  const reader = protobuf.Reader.create(bytes);
  let from: FromControl = { kind: "unknown" };
  eachField(reader, reader.len, (field) => {
    if (field < 1 || field > 3) return false;
    const end = endOf(reader);
    if (field === 1) from = { kind: "update", update: readUpdate(reader, end) };
    else if (field === 2) from = readQuestion(reader, end);
    else {
      let afterMs = 0;
      eachField(reader, end, (part) => {
        if (part !== 1) return false;
        afterMs = reader.uint32();
        return true;
      });
      from = { kind: "reconnect", afterMs };
    }
    return true;
  });
  return from;
}

function writeUpdate(writer: Writer, update: Update): void {
  text(writer, 1, update.source);
  flag(writer, 2, update.whole);
  number(writer, 3, update.revision);
  flag(writer, 4, update.last);
  for (const service of update.services) message(writer, 5, () => writeService(writer, service));
  for (const sandbox of update.sandboxes) message(writer, 6, () => writeSandbox(writer, sandbox));
  for (const group of update.groups) message(writer, 7, () => writeGroup(writer, group));
  texts(writer, 8, update.removedServices);
  texts(writer, 9, update.removedSandboxes);
  texts(writer, 10, update.removedGroups);
}

function readUpdate(reader: Reader, end: number): Update {
  const update = {
    source: "",
    whole: false,
    revision: 0,
    last: false,
    services: [] as FeedService[],
    sandboxes: [] as FeedSandbox[],
    groups: [] as FeedGroup[],
    removedServices: [] as string[],
    removedSandboxes: [] as string[],
    removedGroups: [] as string[],
  };
  eachField(reader, end, (field) => {
    switch (field) {
      case 1:
        update.source = reader.string();
        return true;
      case 2:
        update.whole = reader.bool();
        return true;
      case 3:
        update.revision = uint64(reader);
        return true;
      case 4:
        update.last = reader.bool();
        return true;
      case 5:
        update.services.push(readService(reader, endOf(reader)));
        return true;
      case 6:
        update.sandboxes.push(readSandbox(reader, endOf(reader)));
        return true;
      case 7:
        update.groups.push(readGroup(reader, endOf(reader)));
        return true;
      case 8:
        update.removedServices.push(reader.string());
        return true;
      case 9:
        update.removedSandboxes.push(reader.string());
        return true;
      case 10:
        update.removedGroups.push(reader.string());
        return true;
      default:
        return false;
    }
  });
  return update;
}

function writeQuestion(writer: Writer, question: QuestionBody): void {
  if (question.kind === "probe") {
    const { service, port, key, protocol, path } = question.probe;
    return message(writer, 3, () => {
      text(writer, 1, service);
      text(writer, 2, port);
      text(writer, 3, key);
      text(writer, 4, protocol);
      text(writer, 5, path);
    });
  }
  const { trace, key, limit } = question.journal;
  message(writer, 4, () => {
    text(writer, 1, trace);
    text(writer, 2, key);
    number(writer, 3, limit);
  });
}

function readQuestion(reader: Reader, end: number): FromControl {
  let id = 0;
  let withinMs = 0;
  let question: QuestionBody | undefined;
  eachField(reader, end, (field) => {
    if (field === 1) id = uint64(reader);
    else if (field === 2) withinMs = reader.uint32();
    else if (field === 3) question = { kind: "probe", probe: readProbe(reader, endOf(reader)) };
    else if (field === 4) question = { kind: "journal", journal: readJournalQuestion(reader, endOf(reader)) };
    else return false;
    return true;
  });
  return question === undefined ? { kind: "unknown" } : { kind: "question", id, withinMs, question };
}

function readProbe(reader: Reader, end: number): Probe {
  const probe = { service: "", port: "", key: "", protocol: "", path: "" };
  eachField(reader, end, (field) => {
    if (field === 1) probe.service = reader.string();
    else if (field === 2) probe.port = reader.string();
    else if (field === 3) probe.key = reader.string();
    else if (field === 4) probe.protocol = reader.string();
    else if (field === 5) probe.path = reader.string();
    else return false;
    return true;
  });
  return probe;
}

function readJournalQuestion(reader: Reader, end: number): JournalQuestion {
  const question = { trace: "", key: "", limit: 0 };
  eachField(reader, end, (field) => {
    if (field === 1) question.trace = reader.string();
    else if (field === 2) question.key = reader.string();
    else if (field === 3) question.limit = reader.uint32();
    else return false;
    return true;
  });
  return question;
}

function bytesOf(writer: Writer): Buffer {
  const bytes = writer.finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
