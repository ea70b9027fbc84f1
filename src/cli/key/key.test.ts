// `sidelane key` as it is typed, in this process.

import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeJwt, decodeProtectedHeader } from "jose";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { run } from "../run.ts";
import { signCommand } from "./sign.ts";
import { verifyCommand } from "./verify.ts";

let directory = "";
const at = (name: string): string => join(directory, name);

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the action and catches what it prints, without the folder's name. */
async function printed(action: () => number | Promise<number>): Promise<Outcome> {
  const said = { out: "", err: "" };
  const out = vi.spyOn(process.stdout, "write").mockImplementation((text) => ((said.out += String(text)), true));
  const err = vi.spyOn(process.stderr, "write").mockImplementation((text) => ((said.err += String(text)), true));
  try {
    const code = await action();
    const plain = (text: string): string => text.replaceAll(`${directory}/`, "");
    return { code, out: plain(said.out), err: plain(said.err) };
  } finally {
    out.mockRestore();
    err.mockRestore();
  }
}

const key = (...argv: string[]): Promise<Outcome> => printed(() => run(["key", ...argv]));
const sign = async (...argv: string[]): Promise<string> => (await key("sign", ...argv)).out.trim();

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "sidelane-key-"));
  await key("generate", "--algorithm", "hmac", "--out", at("k1.secret"));
  await key("generate", "--algorithm", "hmac", "--out", at("other.secret"));
  await key("generate", "--algorithm", "ed25519", "--out", at("k2.key"));
  writeFileSync(
    at("sidelane.yaml"),
    `service: shop
listeners: [{ direction: inbound, edge: true, address: 127.0.0.1:0, target: 127.0.0.1:1 }]
table: { file: routes.yaml }
tenancy:
  edge:
    carriers: [{ query: sidelane }]
    signedBy:
      - { id: k1, algorithm: hmac, file: k1.secret }
      - { id: k2, algorithm: ed25519, file: k2.key.pub }
`,
  );
});
afterAll(() => rmSync(directory, { recursive: true }));

test.each([
  [[], "Usage: sidelane key [options] [command]"],
  [["sing"], "Did you mean sign?"],
  [["sign", "--sandbox", "pr-7", "--key", "k1.secret"], "required option '--expires <duration>' not specified"],
  [["generate", "--algorithm", "rsa", "--out", "k1"], "Allowed choices are hmac, ed25519."],
  [["verify", "--key", "k1.secret"], "missing required argument 'token'"],
])("misused: key %j", async (argv, message) => {
  const { code, out, err } = await key(...argv);
  expect(err).toContain(message);
  expect([code, out]).toEqual([2, ""]);
});

describe("generate", () => {
  test("a secret that nobody else can read, and no second time", async () => {
    const made = await key("generate", "--algorithm", "hmac", "--out", at("new.secret"));
    expect(made).toEqual({
      code: 0,
      out: "new.secret: the secret, for those who sign and for tenancy.edge.signedBy\n",
      err: "",
    });
    const content = readFileSync(at("new.secret"), "utf8");
    expect(content).toMatch(/^[\w-]{43}\n$/u);
    expect(statSync(at("new.secret")).mode & 0o777).toBe(0o600);
    const again = await key("generate", "--algorithm", "hmac", "--out", at("new.secret"));
    expect(again).toEqual({
      code: 1,
      out: "",
      err: "new.secret: is there already and stays as it is, choose another name\n",
    });
    expect(readFileSync(at("new.secret"), "utf8")).toBe(content);
  });

  test("a pair, or nothing at all", async () => {
    const made = await key("generate", "--algorithm", "ed25519", "--out", at("new.key"));
    expect(made.out).toBe(
      "new.key: the private key, for those who sign\nnew.key.pub: the public key, for tenancy.edge.signedBy\n",
    );
    expect(statSync(at("new.key")).mode & 0o777).toBe(0o600);
    writeFileSync(at("half.key"), "");
    expect((await key("generate", "--algorithm", "ed25519", "--out", at("half.key"))).code).toBe(1);
    expect(existsSync(at("half.key.pub"))).toBe(false);
    writeFileSync(at("other.key.pub"), "");
    expect((await key("generate", "--algorithm", "ed25519", "--out", at("other.key"))).code).toBe(1);
    expect(existsSync(at("other.key"))).toBe(false);
    const nowhere = await key("generate", "--algorithm", "ed25519", "--out", at("none/k.key"));
    expect(nowhere.err).toBe(
      "none/k.key.pub: cannot be written, there is no such directory, make it first or choose another\n",
    );
    const under = await key("generate", "--algorithm", "hmac", "--out", at("k1.secret/k"));
    expect(under.err).toBe("k1.secret/k: cannot be written, what should be its directory is a file, choose another\n");
  });
});

describe("sign", () => {
  const NOW_MS = 1_800_000_000_500;

  test.each([
    ["90s", 90],
    ["30m", 1800],
    ["12h", 43_200],
    ["7d", 604_800],
    ["4w", 2_419_200],
  ])("for %s", async (expires, seconds) => {
    const { out } = await printed(() => signCommand({ sandbox: "pr-7", expires, key: at("k1.secret") }, NOW_MS));
    expect(decodeProtectedHeader(out.trim())).toEqual({ alg: "HS256", typ: "sidelane+jwt", kid: "k1" });
    expect(decodeJwt(out.trim())).toEqual({ sub: "pr-7", exp: 1_800_000_000 + seconds });
  });

  test("by the key that the file holds, under a name, and with a link", async () => {
    const flags = ["--sandbox", "pr-7", "--expires", "1d", "--key", at("k2.key"), "--id", "k2"];
    const token = await sign(...flags);
    expect(decodeProtectedHeader(token)).toEqual({ alg: "EdDSA", typ: "sidelane+jwt", kid: "k2" });
    const { code, out } = await key("sign", ...flags, "--url", "https://shop.example.com/a?x=1&sidelane={key}#top");
    const [alone, link] = out.split("\n");
    expect(link).toBe(`https://shop.example.com/a?x=1&sidelane=${alone}#top`);
    expect(new URL(link ?? "").searchParams.get("sidelane")).toBe(alone);
    expect(code).toBe(0);
  });

  const flags = (changed: Readonly<Record<string, string>>): readonly string[] =>
    Object.entries({ sandbox: "pr-7", expires: "7d", key: "k1.secret", ...changed }).flatMap(([name, value]) => [
      `--${name}`,
      name === "key" ? at(value) : value,
    ]);

  test.each([
    [{ expires: "7" }, "--expires '7' is no duration, write a number and s, m, h, d or w, as in 7d"],
    [{ expires: "0d" }, "--expires '0d' is over at once, write more, as in 7d"],
    [{ expires: "-1d" }, "--expires '-1d' is no duration"],
    [{ expires: "600w" }, "--expires '600w' is more than ten years, write less, as in 7d"],
    [{ sandbox: "" }, "--sandbox '': a routing key must not be empty"],
    [{ sandbox: " pr-7" }, 'write "pr-7"'],
    [{ id: "" }, "--id is empty"],
    [{ url: "https://a.test/" }, "--url 'https://a.test/' has no place for the key, write it as in 'https://"],
    [{ url: "{key}" }, "--url '{key}' is no URL of a page"],
    [{ url: "ftp://a.test/?a={key}" }, "is no URL of a page"],
    [{ url: "https://{key}--a.test/" }, "has {key} in a place that is not read"],
    [{ url: "https://a.test/#?a={key}" }, "has {key} in a place that is not read"],
    [{ url: "https://{key}.a.test/?a={key}" }, "has {key} in a place that is not read"],
  ])("misused: %j", async (changed, message) => {
    const { code, out, err } = await key("sign", ...flags(changed));
    expect(err).toContain(message);
    expect(err.trimEnd().split("\n")).toHaveLength(1);
    expect([code, out]).toEqual([2, ""]);
  });

  test.each([
    [{ key: "none" }, "none: cannot be read, no such file, check the path\n"],
    [{ key: "k2.key.pub" }, "k2.key.pub: is a public key, which only verifies, name the private one\n"],
    [
      { algorithm: "hmac", key: "k2.key" },
      "k2.key: is PEM, and hmac wants a secret, write --algorithm ed25519 or leave it out, or name another file\n",
    ],
    [
      { algorithm: "ed25519" },
      "k1.secret: is not PEM, and ed25519 wants a private key in PEM, write --algorithm hmac or leave it out, or name another file\n",
    ],
    [
      { id: "k".repeat(900) },
      /^the signed key would have \d+ bytes, and 1024 are accepted, shorten --sandbox or --id\n$/u,
    ],
  ])("refused: %j", async (changed, message) => {
    const { code, out, err } = await key("sign", ...flags(changed));
    expect(err).toMatch(message);
    expect([code, out]).toEqual([1, ""]);
  });
});

describe("verify", () => {
  const NOW_MS = Math.floor(Date.now() / 1000) * 1000;
  const signed = async (file: string, id: string, expires = "7d"): Promise<string> =>
    (await printed(() => signCommand({ sandbox: "pr-7", expires, key: at(file), id }, NOW_MS))).out.trim();
  const date = (ms: number): string => new Date(ms).toISOString().slice(0, 19).replace("T", " ");

  test("with files, whatever the id is", async () => {
    const token = await signed("k2.key", "spring");
    const flags = { key: [at("k1.secret"), at("k2.key.pub")] };
    const { code, out } = await printed(() => verifyCommand(token, flags, NOW_MS));
    expect(out).toBe(
      `key        pr-7\nexpires    ${date(NOW_MS + 7 * 86_400_000)} UTC, in 7 days\nsigned by  spring (ed25519, k2.key.pub)\n`,
    );
    expect(code).toBe(0);
  });

  test("with a config, as its sidecar", async () => {
    const verify = (token: string): Promise<Outcome> => key("verify", token, "--config", at("sidelane.yaml"));
    const good = await verify(await signed("k1.secret", "k1"));
    expect(good.out).toContain("signed by  k1 (hmac, k1.secret)\n");
    expect(good.code).toBe(0);
    expect((await verify(await signed("k2.key", "k2"))).code).toBe(0);
    expect(await verify(await signed("k2.key", "k1"))).toMatchObject({
      code: 1,
      err: "bad-signature: The signed key says that k1 signed it, and k2 did: sign with --id k2\n",
    });
    expect(await verify(await signed("k2.key", "k4"))).toMatchObject({
      code: 1,
      err: "unknown-signer: The signed key says that k4 signed it, and k2 did: sign with --id k2\n",
    });
    expect(await verify(await signed("other.secret", "k1"))).toMatchObject({
      code: 1,
      err: "bad-signature: The signature is not one of k1: copy the whole link, unchanged, or ask for a new one\n",
    });
    expect(await verify(await signed("other.secret", "k3"))).toMatchObject({
      code: 1,
      err: "unknown-signer: The signed key names a signing key k3 that is not accepted here: ask for a new link\n",
    });
  });

  test("with a config whose sidecar would not start", async () => {
    writeFileSync(at("private.yaml"), readFileSync(at("sidelane.yaml"), "utf8").replace("k2.key.pub", "k2.key"));
    const { code, err } = await key("verify", await signed("k1.secret", "k1"), "--config", at("private.yaml"));
    expect(err).toMatch(/^k2\.key: holds a private key, /u);
    expect(code).toBe(1);
  });

  test("says no in a sentence", async () => {
    const token = await signed("k1.secret", "k1", "90s");
    const other = ["--key", at("other.secret")];
    expect(await key("verify", token, ...other)).toMatchObject({
      code: 1,
      out: "",
      err: expect.stringMatching(/^bad-signature: /u) as string,
    });
    expect(await key("verify", `${token}=`, ...other)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^malformed: .* last part/u) as string,
    });
    expect(await key("verify", "pr-7", ...other)).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^malformed: .* three parts/u) as string,
    });
    const flags = { key: [at("other.secret"), at("k1.secret")] };
    expect((await printed(() => verifyCommand(token, flags, NOW_MS + 28_500))).out).toContain(
      "in 1 minute, 2 seconds\n",
    );
    expect((await printed(() => verifyCommand(token, flags, NOW_MS + 89_999))).out).toContain("in 1 second\n");
    expect(() => verifyCommand(token, flags, NOW_MS + 90_000)).toThrow(/^expired: The signed key expired on /u);
  });

  test("has to know with what", async () => {
    const token = await signed("k1.secret", "k1");
    const message = "error: say what to verify it with: --key <file>, or --config <file> of a sidecar\n";
    expect(await key("verify", token)).toEqual({ code: 2, out: "", err: message });
    const both = ["--key", at("k1.secret"), "--config", at("sidelane.yaml")];
    expect(await key("verify", token, ...both)).toEqual({ code: 2, out: "", err: message });
    writeFileSync(
      at("unsigned.yaml"),
      "service: shop\nlisteners: [{ direction: outbound, address: 127.0.0.1:0 }]\ntable: { file: routes.yaml }\n",
    );
    expect(await key("verify", token, "--config", at("unsigned.yaml"))).toEqual({
      code: 1,
      out: "",
      err: "unsigned.yaml: tenancy.edge.signedBy is empty, so this sidecar asks for no signed keys\n",
    });
  });
});
