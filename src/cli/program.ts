import { Command, Option } from "commander";
import { isGroup, isWords } from "./command.ts";
import type { CommandEntry, ExitCode, Flag, FlagValues } from "./command.ts";

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
  commands: readonly CommandEntry[],
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
  const add = (parent: Command, words: string, entry: CommandEntry): Command => {
    const command = parent
      .command(entry.name)
      .summary(entry.summary)
      .description(entry.text)
      .helpOption("-h, --help", "print help")
      .configureHelp(settings)
      .addHelpText("after", `\n${exampleText(entry)}`)
      .showHelpAfterError(`Run '${words} --help' for what it takes.`);
    if (isGroup(entry)) {
      for (const one of entry.commands) add(command, `${words} ${one.name}`, one);
      return command;
    }
    for (const flag of entry.flags) command.addOption(toOption(flag));
    if (entry.operand !== undefined) command.argument(entry.operand.name, entry.operand.text);
    return command.action(async () => {
      requireFlags(command, entry.flags);
      done(await entry.run(command.args, command.opts<FlagValues>()));
    });
  };
  for (const entry of commands) add(program, `sidelane ${entry.name}`, entry);
  return program;
}

function toOption(flag: Flag): Option {
  const option = new Option(flag.flags, flag.required === true ? `${flag.text} (required)` : flag.text);
  if (flag.env !== undefined) option.env(flag.env);
  if (isWords(flag.completes)) option.choices(flag.completes);
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

/** The examples of a command, or one of each in a group, as help shows them. */
function exampleText(entry: CommandEntry): string {
  const examples = isGroup(entry) ? entry.commands.flatMap((one) => one.examples.slice(0, 1)) : entry.examples;
  const title = examples.length === 1 ? "Example:" : "Examples:";
  return [title, ...examples.flatMap(({ line, text }) => [`  # ${text}`, `  ${line}`])].join("\n");
}
