// What a command of `sidelane` is. Each flag is defined once, in the command's own definition; parsing, help, completions
// and docs/commands.md all read that.

/** Names that the control plane knows; a shell asks it for them. */
export type NameCompletion = `${"sandbox" | "group" | "service"}-names`;

/** What a shell may offer for a value. A flag whose words are listed takes no others. */
export type Completion = "file" | "nothing" | NameCompletion | readonly string[];

/** Whether these are all the words that count; `Array.isArray` does not narrow read-only arrays. */
export function isWords(completes: Completion | undefined): completes is readonly string[] {
  return Array.isArray(completes);
}

/** One flag, in commander's notation: `--config <file>`, `-f, --file <file>`; required when `required`. */
export interface Flag {
  readonly flags: string;
  readonly text: string;
  readonly required?: true;
  /** May be given several times; the values become a list. */
  readonly repeats?: true;
  /** Environment variable that stands in for the flag. */
  readonly env?: string;
  /** Default: nothing. */
  readonly completes?: Completion;
}

/** Values by the flag's long name in camelCase. */
export type FlagValues = Readonly<Record<string, string | readonly string[] | boolean | undefined>>;

/** One command. */
export interface CommandInfo {
  readonly name: string;
  /** One line, for the list of commands. */
  readonly summary: string;
  /** The help's text; what it does and what its exit codes mean here. */
  readonly text: string;
  /** `<file...>`: at least one; `[name]`: at most one; `[name...]`. All in `run`'s first argument. */
  readonly operand?: { readonly name: string; readonly text: string; readonly completes: Completion };
  readonly flags: readonly Flag[];
  /** Command lines that work, with what they do. At least one. */
  readonly examples: readonly { readonly line: string; readonly text: string }[];
  /**
   * Does it; resolves with the exit code. Loads what it needs when it runs, so that the proxy carries nothing that only
   * another command uses.
   */
  run(operands: readonly string[], flags: FlagValues): Promise<ExitCode>;
}

/** Commands that belong together under one word: `sidelane key sign`. Their help shows the first example of each. */
export interface CommandGroup {
  readonly name: string;
  /** One line, for the list of commands. */
  readonly summary: string;
  /** The help's text; what the commands have in common. */
  readonly text: string;
  readonly commands: readonly CommandInfo[];
}

/** What can stand behind `sidelane`. */
export type CommandEntry = CommandInfo | CommandGroup;

/** A command with the words that call it. */
export interface NamedCommand {
  /** `proxy`, `key sign`. */
  readonly words: string;
  readonly info: CommandInfo;
}

/** All commands, those of groups in their places. */
export function allCommands(entries: readonly CommandEntry[]): readonly NamedCommand[] {
  return entries.flatMap((entry) =>
    isGroup(entry)
      ? entry.commands.map((info) => ({ words: `${entry.name} ${info.name}`, info }))
      : [{ words: entry.name, info: entry }],
  );
}

export function isGroup(entry: CommandEntry): entry is CommandGroup {
  return "commands" in entry;
}

/** 0 done, 1 said no, 2 misused. */
export type ExitCode = 0 | 1 | 2;

/** The command line asks for something that cannot be: exit code 2 and one line, never a stack trace. */
export class MisuseError extends Error {
  override readonly name = "MisuseError";
}
