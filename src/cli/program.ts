import { Command, Option } from "commander";
import type { CommandInfo, ExitCode, Flag, FlagValues } from "./command.ts";

/** Where a help text goes; tests catch it. */
export interface ProgramOutput {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Columns of the help. */
  readonly columns: number;
}

const intro = "A routing sidecar: an environment for every developer, pull request and test on one shared deployment.";
const exitCodes = "Exit codes: 0 done, 1 said no, 2 misused.";

/**
 * The commander program of these commands. Errors and help are thrown as `CommanderError` instead of ending the process;
 * the exit code of a command that ran goes to `done`.
 */
export function buildProgram(
  commands: readonly CommandInfo[],
  version: string,
  output: ProgramOutput,
  done: (code: ExitCode) => void,
): Command {
  const settings = { helpWidth: output.columns, styleTitle: (title: string) => title };
  const program = new Command("sidelane")
    .description(intro)
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .helpCommand("help [command]", "print help of a command")
    .configureHelp(settings)
    .configureOutput({ writeOut: output.out, writeErr: output.err, getOutHelpWidth: () => output.columns })
    .showSuggestionAfterError(true)
    .exitOverride()
    .addHelpText("after", `\nExample:\n  sidelane demo\n\n${exitCodes}`);
  for (const info of commands) {
    const command = program
      .command(info.name)
      .summary(info.summary)
      .description(info.text)
      .helpOption("-h, --help", "print help")
      .configureHelp(settings)
      .addHelpText("after", `\n${exampleText(info)}`)
      .showHelpAfterError(`Run 'sidelane ${info.name} --help' for what it takes.`);
    for (const flag of info.flags) command.addOption(toOption(flag));
    if (info.operand !== undefined) command.argument(info.operand.name, info.operand.text);
    command.action(async () => {
      requireFlags(command, info.flags);
      done(await info.run(command.args, command.opts<FlagValues>()));
    });
  }
  return program;
}

function toOption(flag: Flag): Option {
  const option = new Option(flag.flags, flag.required === true ? `${flag.text} (required)` : flag.text);
  if (flag.env !== undefined) option.env(flag.env);
  if (flag.repeats === true) {
    option.argParser((value: string, list: readonly string[] | undefined) => [...(list ?? []), value]);
  }
  return option;
}

/** Not left to commander, which would complain of a missing flag before it sees that one is misspelt. */
function requireFlags(command: Command, flags: readonly Flag[]): void {
  for (const option of command.options) {
    const required = flags.some((flag) => flag.flags === option.flags && flag.required === true);
    if (!required || command.getOptionValue(option.attributeName()) !== undefined) continue;
    command.error(`error: required option '${option.flags}' not specified`);
  }
}

/** The examples of a command, as help shows them. */
function exampleText({ examples }: CommandInfo): string {
  const title = examples.length === 1 ? "Example:" : "Examples:";
  return [title, ...examples.flatMap(({ line, text }) => [`  # ${text}`, `  ${line}`])].join("\n");
}
