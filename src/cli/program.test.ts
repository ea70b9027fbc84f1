import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { completionScript } from "./completion.ts";
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
});

describe("a slip of the keyboard", () => {
  test.each([
    [["prxy"], "Did you mean proxy?"],
    [["explain", "--tabel", "x"], "Did you mean --table?"],
    [["demo", "--onec"], "Did you mean --once?"],
    [["demo", "now"], "too many arguments"],
    [["check"], "missing required argument 'file'"],
    [["proxy"], "required option '--config <file>' not specified"],
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
    for (const { name, flags } of commands) {
      expect(script).toContain(name);
      for (const flag of flags) expect(script).toContain(flag.flags.split(" ")[0]?.replace(/^--/u, ""));
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
  });
});

test("the generated page has every command and flag", () => {
  const page = renderCommandDocs();
  for (const { name, flags } of commands) {
    expect(page).toContain(`## sidelane ${name}`);
    for (const flag of flags) expect(page).toContain(flag.flags);
  }
});
