import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { completionScript } from "./completion.ts";
import { allCommands, isGroup } from "./command.ts";
import { renderCommandDocs } from "./command-docs.ts";
import { commands } from "./commands.ts";
import { buildProgram } from "./program.ts";

// The golden files are renewed with `npm test -- -u`; read the difference before committing it.
const golden = (name: string): string => `__golden__/${name}.txt`;

async function output(argv: readonly string[]): Promise<{ out: string; err: string }> {
  const printed = { out: "", err: "" };
  const program = buildProgram(
    commands,
    "0.0.0",
    { out: (text) => (printed.out += text), err: (text) => (printed.err += text), columns: 100 },
    () => {},
  );
  await program.parseAsync(argv, { from: "user" }).catch(() => {});
  return printed;
}

describe("help", () => {
  test("of the whole", async () => {
    await expect((await output(["--help"])).out).toMatchFileSnapshot(golden("help"));
  });

  test.each(commands.map(({ name }) => name))("of %s", async (name) => {
    const { out } = await output([name, "--help"]);
    await expect(out).toMatchFileSnapshot(golden(`help-${name}`));
    expect(out).toMatch(/^Examples?:$/mu);
    expect((await output(["help", name])).out).toBe(out);
  });

  const members = commands.filter(isGroup).flatMap(({ name, commands: inner }) => inner.map((one) => [name, one.name]));

  test.each(members)("of %s %s", async (group, name) => {
    const { out } = await output([group, name, "--help"]);
    await expect(out).toMatchFileSnapshot(golden(`help-${group}-${name}`));
    expect(out).toMatch(/^Examples?:$/mu);
    expect((await output([group, "help", name])).out).toBe(out);
  });
});

describe("a slip of the keyboard", () => {
  test.each([
    [["prxy"], "Did you mean proxy?"],
    [["explain", "--tabel", "x"], "Did you mean --table?"],
    [["demo", "--onec"], "Did you mean --once?"],
    [["demo", "now"], "too many arguments"],
    [["check"], "missing required argument 'file'"],
    [["proxy"], "required option '--config <file>' not specified"],
    [["key"], "Usage: sidelane key [options] [command]"],
    [["key", "sing"], "Did you mean sign?"],
    [["key", "sign", "--sandbx", "pr-7"], "Did you mean --sandbox?"],
    [["key", "generate", "--out", "k1"], "required option '--algorithm <name>' not specified"],
    [["key", "generate", "--out", "k1", "--algorithm", "rsa"], "Allowed choices are hmac, ed25519."],
  ])("%j: %s", async (argv, message) => {
    const { out, err } = await output(argv);
    expect(err).toContain(message);
    expect(out).toBe("");
  });
});

describe("completion", () => {
  test.each(["bash", "zsh", "fish"])("for %s names every command and flag", async (shell) => {
    const script = completionScript(shell, commands);
    await expect(script).toMatchFileSnapshot(golden(`completion-${shell}`));
    for (const { words, info } of allCommands(commands)) {
      for (const word of words.split(" ")) expect(script).toContain(word);
      for (const flag of info.flags) expect(script).toContain(/--([\w-]+)/u.exec(flag.flags)?.[1]);
    }
  });

  test("for bash completes in a real bash", () => {
    const complete = (...words: string[]): string[] => {
      const line = words.map((word) => `'${word}'`).join(" ");
      const script = `${completionScript("bash", commands)}
        COMP_WORDS=(${line}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _sidelane; echo "\${COMPREPLY[@]}"`;
      const out = execFileSync("bash", ["-c", script], { encoding: "utf8", cwd: import.meta.dirname });
      return out.trim().split(/\s+/u).filter(Boolean).toSorted();
    };
    expect(complete("sidelane", "ex")).toEqual(["explain"]);
    expect(complete("sidelane", "demo", "--")).toEqual(["--help", "--once"]);
    expect(complete("sidelane", "check", "program.")).toEqual(["program.test.ts", "program.ts"]);
    expect(complete("sidelane", "proxy", "--config", "program.te")).toEqual(["program.test.ts"]);
    expect(complete("sidelane", "completion", "z")).toEqual(["zsh"]);
    expect(complete("sidelane", "k")).toEqual(["key"]);
    expect(complete("sidelane", "key", "")).toEqual(["--help", "generate", "help", "sign", "verify"]);
    expect(complete("sidelane", "key", "v")).toEqual(["verify"]);
    expect(complete("sidelane", "key", "generate", "--")).toEqual(["--algorithm", "--help", "--out"]);
    expect(complete("sidelane", "key", "sign", "--algorithm", "")).toEqual(["ed25519", "hmac"]);
    expect(complete("sidelane", "key", "sign", "--key", "program.te")).toEqual(["program.test.ts"]);
    expect(complete("sidelane", "key", "sign", "--expires", "")).toEqual([]);
  });
});

test("the generated page has every command and flag", () => {
  const page = renderCommandDocs();
  for (const { words, info } of allCommands(commands)) {
    expect(page).toContain(`## sidelane ${words}`);
    for (const flag of info.flags) expect(page).toContain(flag.flags);
  }
});
