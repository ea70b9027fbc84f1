import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { latin1 } from "./bytes.ts";
import { DETECT_BYTES_MAX, type Detected, detect } from "./detect.ts";

/** The verdict, and after how many bytes it is given. */
function told(bytes: Uint8Array): { readonly verdict: Detected; readonly after: number } {
  for (let end = 0; end <= bytes.length; end++) {
    const verdict = detect(bytes, 0, end);
    if (verdict !== "undecided") return { verdict, after: end };
  }
  return { verdict: "undecided", after: bytes.length };
}

const verdict = (text: string): Detected => detect(latin1(text), 0, text.length);

/** Whether the last byte of a text is the one that settles it. */
function settled(text: string): { readonly verdict: Detected; readonly byLast: boolean } {
  const { verdict: said, after } = told(latin1(`${text} and what follows`));
  return { verdict: said, byLast: after === text.length };
}

describe("HTTP/1.1 is told by the version in its first line", () => {
  test.each([
    "GET / HTTP/",
    "POST /a?b=c HTTP/",
    "OPTIONS * HTTP/",
    "GET http://checkout/cart HTTP/",
    "VERSION-CONTROL /x HTTP/",
    "my.own!method /x HTTP/",
    "CONNECT checkout:443 HTTP/",
    "\r\n\r\nGET / HTTP/",
  ])("%j", (text) => expect(settled(text)).toEqual({ verdict: "http1", byLast: true }));

  test.each([
    "get / http/",
    "GET /a b HTTP/",
    "GET\t/\tHTTP/",
    "GET / HTTP/9.9 HTTP/",
    "\n\n\n\r\n\r\n\r\n\r\nGET / HTTP/",
    " GET / HTTP/",
    "PRI * HTTP/1",
    "PRI / HTTP/",
  ])("also where the parser has to refuse it, instead of an app behind that may not: %j", (text) => {
    expect(verdict(`${text}1.1\r\nHost: x\r\n\r\n`)).toBe("http1");
  });

  test("an endless first line is settled by its length", () => {
    const line = latin1(`GET /${"x".repeat(2 * DETECT_BYTES_MAX)}`);
    expect(told(line)).toEqual({ verdict: "http1", after: DETECT_BYTES_MAX });
  });

  test("endless empty lines are", () =>
    expect(told(latin1("\r\n".repeat(100)))).toEqual({ verdict: "http1", after: 65 }));
});

describe("HTTP/2 is told by its preface", () => {
  test("as soon as no request of HTTP/1.1 begins like it", () =>
    expect(settled("PRI * HTTP/2")).toEqual({ verdict: "http2", byLast: true }));
  test.each(["P", "PRI", "PRI * HTTP/"])("not before: %j", (text) => expect(verdict(text)).toBe("undecided"));
});

describe("TLS is told by the record of a ClientHello", () => {
  const hello = (...head: number[]): Uint8Array => Uint8Array.of(...head, 0, 1, 0xfc, 3, 3);
  test.each([
    ["version 3.1 as OpenSSL sends it", hello(0x16, 3, 1, 2, 0, 1)],
    ["version 3.3", hello(0x16, 3, 3, 0, 0x80, 1)],
    ["the longest record", hello(0x16, 3, 1, 0x40, 0, 1)],
    ["a hello in fragments", hello(0x16, 3, 1, 0, 1, 1)],
  ])("%s", (_, bytes) => expect(told(bytes)).toEqual({ verdict: "tls", after: 6 }));
  test.each([
    ["another version", [0x16, 2], 2],
    ["a record that is too long", [0x16, 3, 1, 0x41], 4],
    ["one byte too long", [0x16, 3, 1, 0x40, 1], 5],
    ["an empty record", [0x16, 3, 1, 0, 0], 5],
    ["another handshake message", [0x16, 3, 1, 2, 0, 2], 6],
    ["an alert", [0x15], 1],
  ])("not %s", (_, head, after) => expect(told(hello(...head))).toEqual({ verdict: "tcp", after }));
});

describe("anything else is TCP", () => {
  test.each([
    ["Redis, inline", "PING\r\n"],
    ["Redis", "*1\r\n"],
    ["Redis, a key that looks like a path", "GET /key\r\n"],
    ["SSH", "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"],
    ["SMTP", "EHLO mail.example\r\n"],
    ["memcached", "get key\r\n"],
    ["STOMP", "CONNECT\n"],
    ["RTSP", "OPTIONS rtsp://camera/ RTSP/1.0\r\n"],
    ["SIP", "REGISTER sip:x SIP/2.0\r\n"],
    ["the PROXY protocol", "PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n"],
    ["the PROXY protocol, version 2", "\r\n\r\n\0"],
    ["HTTP/0.9", "GET /\r\n"],
    ["AMQP", "AMQP\0"],
    ["a status line", "HTTP/"],
    ["JSON", "{"],
    ["FIX", "8="],
    ["a word that is too long", "x".repeat(33)],
  ])("%s", (_, text) => {
    expect(told(latin1(text))).toEqual({ verdict: "tcp", after: text.length });
  });
  test.each([
    ["PostgreSQL, SSLRequest", [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f], 1],
    ["PostgreSQL, startup", [0, 0, 0, 0x29, 0, 3, 0, 0], 1],
    ["MySQL, the client's first packet", [0x20, 0, 0, 1, 0x85], 2],
    ["MongoDB", [0x3f, 1, 0, 0], 1],
    ["LDAP, of a length that is a blank", [0x30, 0x20, 2, 1, 1], 3],
    ["Cassandra", [4, 0, 0, 0, 1], 1],
    ["Kafka", [0, 0, 0, 0x23, 0, 0x12], 1],
    ["MQTT", [0x10, 0x0c, 0, 4], 1],
    ["SSL 2", [0x80, 0x2e, 1], 1],
  ])("%s", (_, bytes, after) => expect(told(Uint8Array.from(bytes))).toEqual({ verdict: "tcp", after }));
});

test("nothing is undecided for ever", () => {
  const byte = fc.oneof(fc.constantFrom(0x20, 0x41, 0x2f, 0x0d, 0x0a), fc.integer({ min: 0, max: 255 }));
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 40 }), fc.constantFrom(0x20, 0x41, 0x0d, 0xe4), (bytes, filler) => {
      const long = new Uint8Array(DETECT_BYTES_MAX).fill(filler);
      long.set(bytes);
      expect(detect(long, 0, long.length)).not.toBe("undecided");
    }),
  );
});

const beginnings = fc.constantFrom(
  "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
  "PRI * HTTP/1.1\r\n",
  "PING\r\n",
  "\x16\x03\x01\x02\0\x01\0\x01\xfc",
  "\r\n\r\nGET / HTTP/1.1\r\n",
  "AMQP\0\0\x09\x01",
  "EHLO x\r\n",
);

test("the verdict does not depend on segmentation, nor on where the bytes lie", () => {
  const edits = fc.array(
    fc.tuple(fc.nat(30), fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(0x20, 0x0a))),
    {
      maxLength: 2,
    },
  );
  fc.assert(
    fc.property(beginnings, edits, fc.nat(9), (text, changes, at) => {
      const bytes = latin1(`${"?".repeat(at)}${text}`);
      for (const [where, byte] of changes) if (at + where < bytes.length) bytes[at + where] = byte;
      const whole = detect(bytes, at, bytes.length);
      let decided: Detected = "undecided";
      for (let end = at; end <= bytes.length; end++) {
        const said = detect(bytes, at, end);
        if (decided === "undecided") decided = said;
        expect(said).toBe(decided);
      }
      expect(decided).toBe(whole);
    }),
    { numRuns: 2000 },
  );
});

/** Slow and obviously right: a prefix is undecided exactly when two continuations of it get different verdicts. */
test("no byte is waited for that cannot change the verdict", () => {
  const ends = [
    "\0",
    " / HTTP/1.1\r\n",
    "HTTP/1.1\r\n",
    " HTTP/1.1\r\n",
    "GET / HTTP/1.1\r\n",
    "PRI * HTTP/2.0",
    "\x03\x01\0\x01\x01",
    "\x01\0\x01\x01",
  ];
  fc.assert(
    fc.property(beginnings, fc.nat(24), (text, cut) => {
      const prefix = text.slice(0, cut);
      if (verdict(prefix) !== "undecided") return;
      const tails = [
        ...ends,
        ...Array.from({ length: 24 }, (_, n) => "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".slice(n)),
        ...Array.from({ length: 6 }, (_, n) => "\x16\x03\x01\0\x01\x01".slice(n)),
      ];
      expect(
        new Set(tails.map((tail) => verdict(prefix + tail)).filter((said) => said !== "undecided")).size,
      ).toBeGreaterThan(1);
    }),
  );
});
