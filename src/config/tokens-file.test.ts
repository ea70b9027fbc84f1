import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { formatProblem } from "./problem.ts";
import { readTokens, tokenDigest } from "./tokens-file.ts";

const refused = (text: string): readonly string[] => {
  const result = readTokens(text, "tokens.yaml");
  return result.ok ? [] : result.problems.map(formatProblem);
};

describe("the tokens file", () => {
  test("holds tokens, or their digests", () => {
    const digest = tokenDigest("0123456789abcdef").toString("hex");
    const result = readTokens(
      `- { name: a, role: viewer, token: Zt1y0rJ4nq9bB7wQ }\n- { name: b, role: editor, sha256: ${digest.toUpperCase()} }\n`,
      "tokens.yaml",
    );
    expect(result).toEqual({
      ok: true,
      tokens: [
        { name: "a", role: "viewer", sha256: tokenDigest("Zt1y0rJ4nq9bB7wQ") },
        { name: "b", role: "editor", sha256: tokenDigest("0123456789abcdef") },
      ],
    });
  });

  test("as docs/control-configuration.md shows it", () => {
    const page = readFileSync(new URL("../../docs/control-configuration.md", import.meta.url), "utf8");
    const block = /```yaml\n(- \{ name: sidecars[^]*?)```/u.exec(page)?.[1] ?? "";
    expect(readTokens(block, "tokens.yaml")).toMatchObject({ ok: true, tokens: [{ role: "sidecar" }, {}, {}] });
  });

  test.each([
    ["", "is empty"],
    ["a: b", "is a map, not a list"],
    ["- { name: a, role: edtor, token: 0123456789abcdef }", "write editor"],
    ["- { name: a, rle: editor, token: 0123456789abcdef }", 'unknown field "rle" in [0], write role'],
    ["- { name: a, role: editor }", "a has neither token nor sha256"],
    ["- { name: a, role: editor, token: x, sha256: y }", "a has both token and sha256"],
    ["- { name: a, role: editor, token: short }", "has 5 characters"],
    ["- { name: a, role: editor, token: 'with a space in it' }", "characters that no header can carry"],
    ["- { name: a, role: editor, sha256: abc }", "is not a SHA-256 digest"],
    ["- { name: sidelane, role: editor, token: Zt1y0rJ4nq9bB7wQ }", "sidelane is a reserved name"],
    ["- { name: 'a b', role: editor, token: Zt1y0rJ4nq9bB7wQ }", "is not a name"],
  ])("%s is refused", (text, message) => {
    expect(refused(text).join("\n")).toContain(message);
  });

  test("what is there twice is named twice", () => {
    const twice = "- { name: a, role: editor, token: Zt1y0rJ4nq9bB7wQ }\n";
    expect(refused(twice + twice)).toEqual([
      expect.stringContaining("a and a have one token (see tokens.yaml:1:3)"),
      expect.stringContaining("two tokens are called a (see tokens.yaml:1:11)"),
    ]);
  });

  test("no message holds a secret", () => {
    const secret = "12345678901234567890";
    for (const text of [`token: ${secret}`, `sha256: [${secret}]`, `tokn: ${secret}`, `token: "${secret} "`]) {
      expect(refused(`- { name: a, role: editor, ${text} }`).join("\n")).not.toContain(secret.slice(0, 8));
    }
  });
});
