import { Buffer } from "node:buffer";
import { describe, expect, test } from "vitest";
import { FieldTable, WATCHED } from "../field-table.ts";
import { fieldIds, http2Fields } from "../http2/field-ids.ts";
import { COMPRESSION_ERROR, DECODED, HpackDecoder, LIST_TOO_LARGE } from "./decoder.ts";
import { FieldBlock, fieldFaults } from "./field.ts";
import { encodeHuffman } from "./reference.ts";
import { StaticFields } from "./static-fields.ts";
import { textsOf } from "./testing.ts";

const statics = new StaticFields(new FieldTable(["baggage"], http2Fields));
const limits = { listBytesMax: 4096, countMax: 64 };

class Connection {
  readonly decoder: HpackDecoder;
  readonly block = new FieldBlock();

  constructor(tableBytesMax = 4096) {
    this.decoder = new HpackDecoder(statics, tableBytesMax);
  }

  /** Decodes a block that does not begin at 0 and has something behind it. */
  decode(block: string | Uint8Array, use = limits): number {
    const bytes = typeof block === "string" ? Buffer.from(block.replaceAll(" ", ""), "hex") : block;
    const padded = Buffer.concat([Buffer.from([0xff]), bytes, Buffer.from([0xff])]);
    return this.decoder.decode(padded, 1, padded.length - 1, this.block, use);
  }

  texts(): [string, string][] {
    return textsOf(this.block);
  }
}

function literal(first: number, name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([first]), string(name), string(value)]);
}

function string(text: string): Buffer {
  const rest = text.length - 127;
  if (rest < 0) return Buffer.concat([Buffer.from([text.length]), Buffer.from(text, "latin1")]);
  const length = [0x7f, (rest & 0x7f) | 0x80, ((rest >> 7) & 0x7f) | 0x80, rest >> 14];
  return Buffer.concat([Buffer.from(length), Buffer.from(text, "latin1")]);
}

const INDEXING = 0x40;
const PLAIN = 0x00;

describe("the examples of RFC 7541 Appendix C", () => {
  test.each([
    ["C.2.1", "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key", "custom-header"],
    ["C.2.2", "040c 2f73 616d 706c 652f 7061 7468", ":path", "/sample/path"],
    ["C.2.3", "1008 7061 7373 776f 7264 0673 6563 7265 74", "password", "secret"],
    ["C.2.4", "82", ":method", "GET"],
  ])("%s", (_, wire, name, value) => {
    const connection = new Connection();
    expect(connection.decode(wire)).toBe(DECODED);
    expect(connection.texts()).toEqual([[name, value]]);
  });

  const requests = [
    [
      [":method", "GET"],
      [":scheme", "http"],
      [":path", "/"],
      [":authority", "www.example.com"],
    ],
    [
      [":method", "GET"],
      [":scheme", "http"],
      [":path", "/"],
      [":authority", "www.example.com"],
      ["cache-control", "no-cache"],
    ],
    [
      [":method", "GET"],
      [":scheme", "https"],
      [":path", "/index.html"],
      [":authority", "www.example.com"],
      ["custom-key", "custom-value"],
    ],
  ];
  test.each([
    [
      "C.3, without Huffman coding",
      [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
      ],
    ],
    [
      "C.4, with Huffman coding",
      [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
      ],
    ],
  ])("%s: three requests", (_, wires) => {
    const connection = new Connection();
    wires.forEach((wire, i) => {
      expect(connection.decode(wire)).toBe(DECODED);
      expect(connection.texts()).toEqual(requests[i]);
    });
  });

  const date = "Mon, 21 Oct 2013 20:13:21 GMT";
  const responses = [
    [
      [":status", "302"],
      ["cache-control", "private"],
      ["date", date],
      ["location", "https://www.example.com"],
    ],
    [
      [":status", "307"],
      ["cache-control", "private"],
      ["date", date],
      ["location", "https://www.example.com"],
    ],
    [
      [":status", "200"],
      ["cache-control", "private"],
      ["date", "Mon, 21 Oct 2013 20:13:22 GMT"],
      ["location", "https://www.example.com"],
      ["content-encoding", "gzip"],
      ["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"],
    ],
  ];
  test.each([
    [
      "C.5, without Huffman coding",
      [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
      ],
    ],
    [
      "C.6, with Huffman coding",
      [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
      ],
    ],
  ])("%s: three responses and a table of 256 bytes", (_, wires) => {
    const connection = new Connection(256);
    wires.forEach((wire, i) => {
      expect(connection.decode(wire)).toBe(DECODED);
      expect(connection.texts()).toEqual(responses[i]);
    });
  });
});

describe("fields", () => {
  test("have their kind, whether their name was indexed or not", () => {
    const connection = new Connection();
    connection.decode(
      Buffer.concat([Buffer.from("828441013a", "hex"), literal(INDEXING, "baggage", "a=b"), literal(0, "x", "")]),
    );
    expect(connection.block.fields.slice(0, connection.block.count).map(({ kind }) => kind)).toEqual([
      fieldIds.method,
      fieldIds.path,
      fieldIds.authority,
      WATCHED,
      fieldIds.plain,
    ]);
    connection.decode(Buffer.concat([Buffer.from([0x00 | 0x0f, 62 - 15]), string("c=d")]));
    expect(connection.block.fields[0]?.kind).toBe(WATCHED);
  });

  test("say how they came", () => {
    const connection = new Connection();
    connection.decode(
      Buffer.concat([
        literal(INDEXING, "a", "1"),
        literal(PLAIN, "b", "2"),
        literal(0x10, "c", "3"),
        Buffer.from("82be", "hex"),
      ]),
    );
    const fields = connection.block.fields.slice(0, connection.block.count);
    expect(fields.map(({ mayIndex, neverIndexed }) => [mayIndex, neverIndexed])).toEqual([
      [true, false],
      [false, false],
      [false, true],
      [true, false],
      [true, false],
    ]);
    expect(fields[4]).toBe(fields[0]);
  });

  test.each([
    ["", "v", fieldFaults.emptyName],
    [":", "v", fieldFaults.emptyName],
    ["X-a", "v", fieldFaults.upperCaseName],
    ["a b", "v", fieldFaults.badName],
    ["a:b", "v", fieldFaults.badName],
    ["a\0", "v", fieldFaults.badName],
    ["\xe4", "v", fieldFaults.badName],
    ["a", "x\0", fieldFaults.badValue],
    ["a", "x\r\ny: z", fieldFaults.badValue],
    ["a", "x\n", fieldFaults.badValue],
    ["a", "\x7f", fieldFaults.badValue],
    ["a", " x", fieldFaults.blankAroundValue],
    ["a", "x\t", fieldFaults.blankAroundValue],
    ["a", " ", fieldFaults.blankAroundValue],
    ["a", "", fieldFaults.none],
    ["a", "\xe4 \t|~", fieldFaults.none],
    [":path", "/", fieldFaults.none],
  ])("%j: %j is judged by RFC 9113 §8.2.1, also when coded and when the name is used again", (name, value, fault) => {
    const connection = new Connection();
    connection.decode(literal(INDEXING, name, value));
    expect(connection.block.fields[0]?.fault).toBe(fault);

    const coded = (text: string): Buffer => {
      const bytes = encodeHuffman(text);
      return Buffer.from([0x80 | bytes.length, ...bytes]);
    };
    connection.decode(Buffer.concat([Buffer.from([PLAIN]), coded(name), coded(value)]));
    expect(connection.block.fields[0]?.fault).toBe(fault);

    connection.decode(Buffer.concat([Buffer.from([0x0f, 62 - 15]), string("fine")]));
    const valueOnly: number[] = [fieldFaults.badValue, fieldFaults.blankAroundValue];
    expect(connection.block.fields[0]?.fault).toBe(valueOnly.includes(fault) ? fieldFaults.none : fault);
  });

  test("keep their bytes when the entry they came from is gone and many came after", () => {
    const connection = new Connection();
    connection.decode(literal(INDEXING, "first", "kept"));
    const first = connection.block.fields[0];
    for (let i = 0; i < 500; i++) {
      connection.decode(
        Buffer.concat([literal(INDEXING, `name-${i}`, "v".repeat(i)), literal(PLAIN, "plain", `${i}`)]),
      );
      expect(connection.texts()).toEqual([
        [`name-${i}`, "v".repeat(i)],
        ["plain", `${i}`],
      ]);
    }
    connection.block.clear();
    if (first !== undefined) connection.block.add(first);
    expect(connection.texts()).toEqual([["first", "kept"]]);
  });
});

describe("the dynamic table", () => {
  test("drops the oldest entries, never more than it must", () => {
    const connection = new Connection(100);
    connection.decode(Buffer.concat([literal(INDEXING, "a", "1"), literal(INDEXING, "b", "2")]));
    expect(connection.decode("bebf")).toBe(DECODED);
    connection.decode(literal(INDEXING, "c", "3"));
    expect(connection.decode("be bf")).toBe(DECODED);
    expect(connection.texts()).toEqual([
      ["c", "3"],
      ["b", "2"],
    ]);
    expect(connection.decode("c0")).toBe(COMPRESSION_ERROR);
  });

  test("an entry larger than the table empties it, and is a field all the same", () => {
    const connection = new Connection(100);
    connection.decode(literal(INDEXING, "a", "1"));
    expect(connection.decode(literal(INDEXING, "b", "2".repeat(100)))).toBe(DECODED);
    expect(connection.texts()).toEqual([["b", "2".repeat(100)]]);
    expect(connection.decode("be")).toBe(COMPRESSION_ERROR);
  });

  test("a name may come from the entry that its own insertion drops (RFC 7541 §4.4)", () => {
    const connection = new Connection(100);
    connection.decode(literal(INDEXING, "name", "1".repeat(60)));
    expect(connection.decode(Buffer.concat([Buffer.from([0x7e]), string("2".repeat(60))]))).toBe(DECODED);
    expect(connection.decode("be")).toBe(DECODED);
    expect(connection.texts()).toEqual([["name", "2".repeat(60)]]);
  });

  test("grows beyond its first slots", () => {
    const connection = new Connection();
    for (let i = 0; i < 124; i++) connection.decode(literal(INDEXING, "", String(i % 10)));
    expect(connection.decode(Buffer.from([0xff, 0x00 + 62 + 65 - 127, 0xbe]))).toBe(DECODED);
    expect(connection.texts()).toEqual([
      ["", String((123 - 65) % 10)],
      ["", "3"],
    ]);
  });

  test("changes its size at the start of a block, twice at most (RFC 7541 §4.2)", () => {
    const connection = new Connection();
    connection.decode(literal(INDEXING, "a", "1"));
    expect(connection.decode("20 3fe11f 82")).toBe(DECODED);
    expect(connection.decode("be")).toBe(COMPRESSION_ERROR);
    const size = (block: string, tableBytesMax = 4096): string => {
      const other = new Connection(tableBytesMax);
      return other.decode(block) === COMPRESSION_ERROR ? other.decoder.errorDetail : "";
    };
    expect(size("3fe11f")).toBe("");
    expect(size("3fe21f")).toBe("a table size above the one that was announced");
    expect(size("3fe21f", 8192)).toBe("");
    expect(size("20 20 20")).toBe("more than two table size updates");
    expect(size("82 20")).toBe("a table size update behind a field");
  });

  test("of a larger size than the default holds no more until the peer says so", () => {
    const connection = new Connection(65536);
    for (let i = 0; i < 125; i++) connection.decode(literal(INDEXING, "", ""));
    expect(connection.decode(literal(INDEXING, "", "v".repeat(4064)))).toBe(DECODED);
    expect(connection.decode("bf")).toBe(COMPRESSION_ERROR);
  });
});

describe("broken blocks", () => {
  test.each([
    ["80", "the index 0"],
    ["be", "an index beyond the dynamic table"],
    ["ff8001", "an index beyond the dynamic table"],
    ["7e0161", "a name index beyond the dynamic table"],
    ["ff", "an integer that ends too soon"],
    ["ff8080808000", "an integer of too many bytes"],
    ["ffffffffff01", "an integer of too many bytes"],
    ["40", "a field that ends before its string"],
    ["400161", "a field that ends before its string"],
    ["40016102", "a string longer than its block"],
    ["400561", "a string longer than its block"],
    ["007fffffff7f", "a string longer than its block"],
    ["0081ff0161", "a name with a wrong Huffman code"],
    ["00016181ff", "a value with a wrong Huffman code"],
    ["00016184ffffffff", "a value with a wrong Huffman code"],
  ])("%s: %s", (wire, detail) => {
    const connection = new Connection();
    expect(connection.decode(wire)).toBe(COMPRESSION_ERROR);
    expect(connection.decoder.errorDetail).toBe(detail);
  });
});

describe("limits", () => {
  test("count name, value and 32 of each field, and the fields", () => {
    const connection = new Connection();
    const block = Buffer.concat([literal(PLAIN, "a", "1"), literal(PLAIN, "b", "2")]);
    expect(connection.decode(block, { listBytesMax: 68, countMax: 2 })).toBe(DECODED);
    expect(connection.block.listBytes).toBe(68);
    expect(connection.decode(block, { listBytesMax: 67, countMax: 2 })).toBe(LIST_TOO_LARGE);
    expect(connection.decode(block, { listBytesMax: 68, countMax: 1 })).toBe(LIST_TOO_LARGE);
    expect(connection.texts()).toEqual([["a", "1"]]);
  });

  test("leave the table as it must be", () => {
    const connection = new Connection();
    const long = "v".repeat(3000);
    const fields = [
      literal(INDEXING, "a", "1"),
      literal(PLAIN, "b", long),
      literal(INDEXING, "c", long),
      literal(INDEXING, "d", "4"),
    ];
    expect(
      connection.decode(Buffer.concat([...fields, Buffer.from("82bfbe", "hex")]), { listBytesMax: 100, countMax: 64 }),
    ).toBe(LIST_TOO_LARGE);
    expect(connection.texts()).toEqual([["a", "1"]]);
    expect(connection.decode("be bf c0")).toBe(DECODED);
    expect(connection.texts()).toEqual([
      ["d", "4"],
      ["c", long],
      ["a", "1"],
    ]);
  });

  test("a literal that fits neither the list nor the table empties the table unread", () => {
    const connection = new Connection();
    connection.decode(literal(INDEXING, "a", "1"));
    expect(connection.decode(literal(INDEXING, "b", "v".repeat(200_000)))).toBe(LIST_TOO_LARGE);
    expect(connection.decode("be")).toBe(COMPRESSION_ERROR);
  });

  test("broken structure is still an error when fields are dropped already", () => {
    const connection = new Connection();
    const block = Buffer.concat([literal(PLAIN, "a", "1"), Buffer.from("80", "hex")]);
    expect(connection.decode(block, { listBytesMax: 1, countMax: 1 })).toBe(COMPRESSION_ERROR);
  });

  test("a bomb of references to one large entry costs nothing but its bytes", () => {
    const connection = new Connection();
    connection.decode(literal(INDEXING, "a", "v".repeat(4000)), { listBytesMax: 8000, countMax: 64 });
    const bomb = Buffer.alloc(100_000, 0xbe);
    expect(connection.decode(bomb, { listBytesMax: 8192, countMax: 100_000 })).toBe(LIST_TOO_LARGE);
    expect(connection.block.count).toBe(2);
    expect(connection.block.fields.length).toBe(2);
  });
});
