// Heads at random, valid and damaged: against any split, against whatever lies behind the received bytes, against a slow and
// obvious forwarder, and against the parser of node:http (llhttp in its strict default). Where the two parsers differ on
// purpose, the difference has a name, a reason and a narrow condition below; anywhere else they must agree.
//
// Long because the same generators serve all of it, and each difference is told in full.
import { once } from "node:events";
import http from "node:http";
import net, { type AddressInfo } from "node:net";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { defaultLimits } from "../../base/limits.ts";
import { type Outcome, forwardRequest, forwardResponse } from "./forward-as-text.ts";

/** Bytes that parsers stumble over. */
const nasty = fc.constantFrom(
  ...'\0\t\n\v\f\r !"#(),-./0159:;=?@A[\\]_az{|}\x7f\x80\xa0\xff'.split(""),
  "\r\n",
  "\r\n ",
  "\n\r",
  " :",
  ", ",
);

const fieldLine = fc.oneof(
  fc.constantFrom(
    "Content-Length: 5",
    "content-length: 0",
    "Content-Length:\t5",
    "Content-Length: 5, 5",
    "Content-Length: 05",
    "Content-Length: +5",
    "Content-Length: 18446744073709551617",
    "Transfer-Encoding: chunked",
    "transfer-encoding:Chunked ",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: identity",
    "Connection: close",
    "Connection: keep-alive, X-A",
    "connection: x-b, TE,upgrade ,content-length, baggage",
    "TE: trailers",
    "TE: gzip",
    "Keep-Alive: timeout=5",
    "Proxy-Connection: keep-alive",
    "Upgrade: h2c",
    "upgrade:  websocket",
    "Upgrade: h2c,foo/2",
    "Connection: Upgrade, X-A",
    "HTTP2-Settings: AAM",
    "Expect: 100-continue",
    "Max-Forwards: 3",
    "baggage: sidelane=pr-7",
    "X-Sandbox: pr-7",
    "X-A: 1",
    "x-a: 2",
    "X-B:   3",
    "Via: 1.1 other",
    "Cookie: a=b; c=d",
  ),
  fc
    .tuple(fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}$/), fc.stringMatching(/^[\t -~\x80-\xff]{0,20}$/))
    .map(([name, value]) => `${name}: ${value}`),
);

const requestLine = fc
  .tuple(
    fc.constantFrom("GET", "POST", "OPTIONS", "HEAD", "PUT"),
    fc.constantFrom("/", "/a/b?c=d", "*", "http://b:81/x", "http://b?x", "//x", "/\xe4"),
    fc.constantFrom("HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"),
  )
  .map((parts) => parts.join(" "));

const statusLine = fc
  .tuple(
    fc.constantFrom("HTTP/1.1", "HTTP/1.1", "HTTP/1.0"),
    fc.constantFrom("200 OK", "204 No Content", "304 NM", "103 Early Hints", "500 ", "201"),
  )
  .map((parts) => parts.join(" "));

/** Lines joined to a message, `Host` among the fields of most requests. */
const messageOf = (first: fc.Arbitrary<string>, host: fc.Arbitrary<string[]>): fc.Arbitrary<string> =>
  fc
    .tuple(first, host, fc.array(fieldLine, { maxLength: 6 }), fc.nat(6))
    .map(([line, hosts, fields, at]) => `${[line, ...fields.toSpliced(at, 0, ...hosts)].join("\r\n")}\r\n\r\n`);

const hosts = fc.constantFrom<string[]>(
  ["Host: a"],
  ["Host: a"],
  ["host: [::1]:80"],
  ["Host: a:8080"],
  [],
  ["Host: a", "Host: b"],
);
const requests = messageOf(requestLine, hosts);
const responses = messageOf(statusLine, fc.constant([]));

/** With up to three places damaged. */
const damaged = (message: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(message, fc.array(fc.tuple(fc.nat(), fc.nat(2), nasty), { maxLength: 3 })).map(([text, damages]) =>
    damages.reduce((whole, [where, removed, inserted]) => {
      const at = where % (whole.length + 1);
      return whole.slice(0, at) + inserted + whole.slice(at + removed);
    }, text),
  );

type Forward = (text: string, garbage?: number, limits?: typeof defaultLimits) => Outcome;
const sides: readonly (readonly [string, fc.Arbitrary<string>, Forward])[] = [
  ["requests", damaged(requests), (text, garbage, limits) => forwardRequest(text, limits, garbage)],
  ["responses", damaged(responses), (text, garbage, limits) => forwardResponse(text, false, "none", limits, garbage)],
];

describe.each(sides)("%s", (_side, messages, forward) => {
  test("however the bytes are split, verdict and forwarded bytes are the same", () => {
    fc.assert(
      fc.property(
        messages,
        fc.constantFrom(defaultLimits, { ...defaultLimits, headBytesMax: 60, uriBytesMax: 8 }),
        (text, limits) => {
          const whole = forward(text, 0, limits);
          const headEnd = whole.verdict === "forwarded" ? text.length - whole.rest : undefined;
          for (let length = 0; length <= text.length; length++) {
            const part = forward(text.slice(0, length), 0, limits);
            if (part.verdict === "incomplete") {
              // Nothing is taken for the end of a head before it is there, nor later.
              if (headEnd !== undefined) expect(length).toBeLessThan(headEnd);
              continue;
            }
            expect(part.verdict).toBe(whole.verdict);
            expect(part.forwarded).toBe(whole.forwarded);
            expect(part.body).toBe(whole.body);
            if (headEnd !== undefined) expect(length).toBeGreaterThanOrEqual(headEnd);
          }
        },
      ),
      { numRuns: 400 },
    );
  });

  test("what lies behind the received bytes does not matter", () => {
    fc.assert(
      fc.property(messages, fc.nat(), (text, cut) => {
        const part = text.slice(0, cut % (text.length + 1));
        const clean = forward(part);
        for (const garbage of [0x0a, 0x0d, 0x20, 0x30, 0x31, 0x3a, 0x61, 0xff]) {
          expect(forward(part, garbage)).toEqual(clean);
        }
      }),
      { numRuns: 400 },
    );
  });

  test("a forwarded head is one that would be forwarded as it is", () => {
    fc.assert(
      fc.property(messages, (text) => {
        // Counted down on each hop.
        fc.pre(!/max-forwards/i.test(text));
        const once = forward(text);
        if (once.verdict !== "forwarded") return;
        const twice = forward(once.forwarded);
        const kind = (outcome: Outcome): string => outcome.body.replace(/,.*/, "");
        expect(twice.verdict).toBe("forwarded");
        expect(sortedByName(twice.forwarded)).toEqual(sortedByName(once.forwarded));
        expect(kind(twice)).toBe(kind(once));
        expect(twice.rest).toBe(0);
      }),
      { numRuns: 1000 },
    );
  });
});

/**
 * The lines of a head by name, those of the same name in their order, which alone matters (RFC 9110 §5.3): what is left of an
 * Upgrade field that lost a member stands at the end.
 */
function sortedByName(head: string): string[] {
  const [first = "", ...fields] = head.split("\r\n");
  const nameOf = (line: string): string => line.split(":", 1)[0]?.toLowerCase() ?? "";
  return [first, ...fields.toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : nameOf(a) > nameOf(b) ? 1 : 0))];
}

/** Slow and obvious: a request whose head was accepted, line by line. */
function referenceForward(text: string): string {
  const [first = "", ...rest] =
    text
      .replace(/^(?:\r\n){1,2}/, "")
      .split("\r\n\r\n", 1)[0]
      ?.split("\r\n") ?? [];
  const fields = rest.map((line) => {
    const [, name = "", value = ""] = /^([^:]*):[ \t]*(.*?)[ \t]*$/s.exec(line) ?? [];
    return { line, name: name.toLowerCase(), value };
  });
  const values = (name: string): string[] =>
    fields
      .filter((field) => field.name === name)
      .flatMap((field) => field.value.toLowerCase().split(","))
      .map((value) => value.replace(/^[ \t]+|[ \t]+$/g, ""));
  const named = new Set(values("connection"));
  const guarded =
    /^(?:host|content-(?:length|type|encoding)|transfer-encoding|cache-control|authorization|(?:set-)?cookie|forwarded|x-forwarded-.*|x-real-ip|x-request-id|baggage|trace(?:parent|state)|via|x-sandbox)$/;
  const hop = /^(?:connection|keep-alive|proxy-connection|te|http2-settings)$/;
  const [method = "", asked = ""] = first.split(" ");
  let target = asked;
  const http10 = first.endsWith("0");
  const added: string[] = [];
  const forwards: string[] = [];
  const front: string[] = [];
  const absolute = /^http:\/\/([^/?]*)(.*)$/i.exec(target);
  if (absolute !== null) {
    const path = absolute[2] ?? "";
    target = path === "" ? (method === "OPTIONS" ? "*" : "/") : path.startsWith("?") ? `/${path}` : path;
    front.push(`host: ${absolute[1]}`);
  } else if (values("host").length === 0) front.push("host: app:8080");
  const unusual = (field: { line: string; value: string }): boolean =>
    !new RegExp(`: ?${field.value}$`).test(field.line) || field.value.includes(",");
  const passedOn = values("upgrade").filter((offer) => offer !== "" && !/^(?:h2|http|tls)/.test(offer));
  const switches = named.has("upgrade") && !http10 && passedOn.length > 0;
  const asItCame =
    values("upgrade").filter((offer) => offer !== "").length === passedOn.length &&
    fields.filter(({ name }) => name === "upgrade").length === 1;
  let lengthSeen = false;
  let lengthRewritten = false;
  const kept = fields.filter((field) => {
    if (hop.test(field.name)) return false;
    if (field.name === "upgrade") return switches && asItCame;
    if (named.has(field.name) && !guarded.test(field.name)) return false;
    if (field.name === "host" && absolute !== null) return false;
    if (field.name === "expect" && http10) return false;
    if (field.name === "max-forwards" && method === "OPTIONS" && Number(field.value) > 0) {
      forwards.push(`max-forwards: ${Number(field.value) - 1}`);
      return false;
    }
    if (field.name === "transfer-encoding" && unusual(field)) {
      added.push("transfer-encoding: chunked");
      return false;
    }
    if (field.name === "content-length") {
      if (!lengthSeen && unusual(field)) lengthRewritten = true;
      const keep = !lengthSeen && !lengthRewritten;
      lengthSeen = true;
      return keep;
    }
    return true;
  });
  if (lengthRewritten) added.push(`content-length: ${Number(values("content-length")[0])}`);
  added.push(...forwards);
  if (switches) added.push("connection: Upgrade", ...(asItCame ? [] : [`upgrade: ${passedOn.join(", ")}`]));
  if (values("te").includes("trailers")) added.push("connection: TE", "te: trailers");
  return [`${method} ${target} HTTP/1.1`, ...front, ...kept.map((field) => field.line), ...added, "", ""].join("\r\n");
}

test("a slow and obvious forwarder comes to the same bytes", () => {
  let compared = 0;
  fc.assert(
    fc.property(fc.oneof(requests, damaged(requests)), (text) => {
      const { verdict, forwarded } = forwardRequest(text);
      if (verdict !== "forwarded") return;
      compared++;
      expect(forwarded).toBe(referenceForward(text));
    }),
    { numRuns: 3000 },
  );
  expect(compared).toBeGreaterThan(200);
});

interface Difference {
  readonly reason: string;
  readonly node: "accepts" | "refuses";
  readonly example: string;
  applies(text: string, verdict: string): boolean;
}

/** A field line that is there, whatever its value. */
const has = (text: string, name: string): boolean => new RegExp(`^${name}[ \t]*:`, "im").test(text);
/** The request line apart, behind empty lines. */
const parts = (text: string): string[] =>
  text
    .replace(/^(?:\r\n)+/, "")
    .split("\r\n", 1)[0]
    ?.split(" ") ?? [];

const differences: readonly Difference[] = [
  {
    reason: "llhttp knows a list of methods; a method is any token (RFC 9110 §9.1)",
    node: "refuses",
    example: "QUERIES / HTTP/1.1\r\nHost: a\r\n\r\n",
    applies: (text) => !http.METHODS.includes(parts(text)[0] ?? ""),
  },
  {
    reason: "llhttp refuses octets above 127 in a target; they are passed on, as clients send them",
    node: "refuses",
    example: "GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n",
    applies: (text) => /[\x80-\xff]/.test(parts(text)[1] ?? ""),
  },
  {
    reason: "llhttp refuses a repeated Content-Length; equal values are one (RFC 9112 §6.3)",
    node: "refuses",
    example: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n",
    applies: (text) => (text.match(/^content-length:/gim) ?? []).length > 1 || /^content-length:.*,/im.test(text),
  },
  {
    reason: "llhttp takes several spaces before the version",
    node: "accepts",
    example: "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
    applies: (text, verdict) => verdict === "400 request-line" && /^\S+ +\S+ {2,}HTTP/.test(text.trimStart()),
  },
  {
    reason: "llhttp takes several spaces before the target",
    node: "accepts",
    example: "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    applies: (text, verdict) => verdict === "400 request-line" && /^\S+ {2,}\S+ +HTTP/.test(text.trimStart()),
  },
  {
    reason: "node looks for Host only after it has handed on an upgrade",
    node: "accepts",
    example: "GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    applies: (text, verdict) => verdict === "400 host-missing" && has(text, "upgrade") && has(text, "connection"),
  },
  {
    reason: "llhttp takes HTTP/0.9, a request line without a version; it is gone since RFC 9112",
    node: "accepts",
    example: "GET /\r\n\r\n",
    applies: (text, verdict) => verdict === "400 request-line" && /^\S+ +\S+\r?\n/.test(text.trimStart()),
  },
  {
    reason: "llhttp skips any CR and LF before the request line; a relay skips empty lines (RFC 9112 §2.2)",
    node: "accepts",
    example: "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    applies: (text, verdict) => verdict === "400 request-line" && /^[\r\n]/.test(text),
  },
  {
    reason: "node hands on any Host, twice too; a relay that decides by it wants one, and a valid one (RFC 9112 §3.2)",
    node: "accepts",
    example: "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    applies: (text, verdict) => /^400 host-(?:repeated|invalid)$/.test(verdict) && /^host[ \t]*:|http:/im.test(text),
  },
  {
    reason: "node hands on any target; a relay wants one of the four forms (RFC 9112 §3.2)",
    node: "accepts",
    example: "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    applies: (text, verdict) => verdict === "400 target" && !/^\/[^#]*$/.test(parts(text)[1] ?? ""),
  },
  {
    reason: "node hands on bodies in codings that it does not decode; a relay that does not know their end must not",
    node: "accepts",
    example: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    applies: (text, verdict) => verdict === "501 coding-unknown" && has(text, "transfer-encoding"),
  },
  {
    reason: "node decodes chunks of HTTP/1.0; such a message is faulty (RFC 9112 §6.1)",
    node: "accepts",
    example: "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    applies: (text, verdict) => verdict === "400 coding-in-http10" && parts(text)[2] === "HTTP/1.0",
  },
  {
    reason: "llhttp counts to 2^64; a JavaScript number is exact below 2^53",
    node: "accepts",
    example: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9007199254740992\r\n\r\n",
    applies: (text, verdict) =>
      verdict === "400 content-length" && /^content-length:[ \t]*\d{16,20}[ \t]*\r$/im.test(text),
  },
  {
    reason: "node leaves expectations to the application; a relay answers 417 (RFC 9110 §10.1.1)",
    node: "accepts",
    example: "POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n",
    applies: (text, verdict) => verdict === "417 expectation" && has(text, "expect"),
  },
  {
    reason: "node leaves upgrades to the application; a relay has to know what is switched to, and where that begins",
    node: "accepts",
    example: "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nx",
    applies: (text, verdict) => verdict.startsWith("400 upgrade") && has(text, "upgrade"),
  },
  {
    reason: "node does not look at Max-Forwards, which is for those who forward (RFC 9110 §7.6.2)",
    node: "accepts",
    example: "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: x\r\n\r\n",
    applies: (text, verdict) => verdict === "400 max-forwards" && has(text, "max-forwards"),
  },
];

describe("node:http", () => {
  let accepted = false;
  const server = http.createServer((_request, response) => {
    accepted = true;
    response.setHeader("connection", "close").end();
  });
  const onOther = (_request: unknown, responseOrSocket: { destroy(): unknown }): void => {
    accepted = true;
    responseOrSocket.destroy();
  };
  server.on("checkContinue", onOther).on("checkExpectation", onOther).on("upgrade", onOther);
  server.on("clientError", (_error, socket) => socket.destroy());

  beforeAll(async () => {
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  async function nodeAccepts(text: string): Promise<boolean> {
    accepted = false;
    const socket = net.connect((server.address() as AddressInfo).port, "127.0.0.1");
    socket.on("error", () => {});
    socket.resume().end(text, "latin1");
    await once(socket, "close");
    return accepted;
  }

  test("accepts and refuses the same heads, but for the differences named here", async () => {
    await fc.assert(
      fc.asyncProperty(damaged(requests), async (text) => {
        const { verdict } = forwardRequest(text);
        if (verdict === "incomplete") return;
        const node = await nodeAccepts(text);
        if (node === (verdict === "forwarded")) return;
        const difference = differences.find(
          (candidate) => (candidate.node === "accepts") === node && candidate.applies(text, verdict),
        );
        if (difference === undefined) throw new Error(`ours: ${verdict}, node ${node ? "accepts" : "refuses"}`);
      }),
      // The same heads each time: a difference that nobody knows is a finding, not a build that fails now and then.
      { numRuns: 2000, seed: 2026 },
    );
  });

  test.each(differences)("$reason", async (difference) => {
    const { node, example } = difference;
    const { verdict } = forwardRequest(example);
    expect(verdict === "forwarded").toBe(node === "refuses");
    expect(difference.applies(example, verdict)).toBe(true);
    expect(await nodeAccepts(example)).toBe(node === "accepts");
  });
});
