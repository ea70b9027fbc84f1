// Completion scripts, written out from the command definitions: nothing runs when a shell completes, but for names that the
// control plane knows. For these it is asked, as by `sidelane sandbox list -o name`, and briefly: nobody waits for a Tab.

import { MisuseError, allCommands, isGroup, isWords } from "./command.ts";
import type { CommandEntry, CommandGroup, CommandInfo, Completion, Flag, NameCompletion } from "./command.ts";

const shells: Readonly<Record<string, (commands: readonly CommandEntry[]) => string>> = { bash, zsh, fish };

/** The script for one shell; throws `MisuseError` for one that is not known. */
export function completionScript(shell: string, commands: readonly CommandEntry[]): string {
  const script = Object.hasOwn(shells, shell) ? shells[shell] : undefined;
  if (script === undefined) throw new MisuseError(`error: no completion for '${shell}', choose bash, zsh or fish`);
  return script(commands);
}

interface Part {
  /** `--config` */
  readonly long: string;
  /** `-f`, "" without. */
  readonly short: string;
  readonly takesValue: boolean;
  readonly text: string;
  readonly completes: Completion;
}

function partOf(flag: Flag): Part {
  const [long = ""] = /--[\w-]+/u.exec(flag.flags) ?? [];
  const [short = ""] = /^-\w/u.exec(flag.flags) ?? [];
  return { long, short, takesValue: /[<[]/u.test(flag.flags), text: flag.text, completes: flag.completes ?? "nothing" };
}

/** How long a shell waits for names. */
const NAMES_WITHIN = "1s";

/** The command line that prints them; what goes wrong is nothing that a Tab should print. */
function namesCommand(completes: NameCompletion): string {
  const [kind = ""] = completes.split("-");
  return `sidelane ${kind} list -o name --within ${NAMES_WITHIN} 2>/dev/null`;
}

const help: Part = { long: "--help", short: "-h", takesValue: false, text: "print help", completes: "nothing" };
const version: Part = {
  long: "--version",
  short: "-V",
  takesValue: false,
  text: "print the version",
  completes: "nothing",
};

function partsOf(command: CommandInfo): readonly Part[] {
  return [...command.flags.map(partOf), help];
}

function namesOf(commands: readonly CommandEntry[]): string {
  return commands.map(({ name }) => name).join(" ");
}

function bash(commands: readonly CommandEntry[]): string {
  const groups = commands.filter(isGroup);
  const all = allCommands(commands);
  /** What stands behind which `command --flag`, one line for each way of completing. */
  const values = new Map<string, string[]>();
  for (const { words, info } of all) {
    for (const { long, short, takesValue, completes } of partsOf(info)) {
      if (!takesValue) continue;
      const action = bashAction(completes);
      const both = [long, short].filter(Boolean).map((flag) => `"${words} ${flag}"`);
      values.set(action, [...(values.get(action) ?? []), ...both]);
    }
  }
  const flagCases = [...values].map(([action, flags]) => `    ${flags.join("|")}) ${action}; return ;;`);
  const cases = all.map(({ words, info }) => {
    const flags = partsOf(info)
      .map(({ long }) => long)
      .join(" ");
    const completes = info.operand?.completes;
    const offered = [isWords(completes) ? completes.join(" ") : "", flags].filter(Boolean).join(" ");
    const more = completes === "file" ? "; _sidelane_files" : isNames(completes) ? namesUnlessFlag(completes) : "";
    return `    "${words}") COMPREPLY=($(compgen -W "${offered}" -- "$word"))${more} ;;`;
  });
  const groupCases = groups.map(
    ({ name, commands: members }) =>
      `    "${name} "*) COMPREPLY=($(compgen -W "${namesOf(members)} help --help" -- "$word")) ;;`,
  );
  const inGroups =
    groups.length === 0
      ? ""
      : `  case "$command" in
    ${groups.map(({ name }) => name).join("|")}) command="$command "; [ "$COMP_CWORD" -gt 2 ] && command+="\${COMP_WORDS[2]}" ;;
  esac
`;
  return `# bash completion of sidelane; load it with: eval "$(sidelane completion bash)"
_sidelane_files() {
  compopt -o filenames 2>/dev/null
  COMPREPLY+=($(compgen -f -- "$word"))
}
_sidelane() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" command="\${COMP_WORDS[1]}"
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${namesOf(commands)} help --help --version" -- "$word")); return
  fi
${inGroups}  case "$command $before" in
${flagCases.join("\n")}
  esac
  case "$command" in
${[...cases, ...groupCases].join("\n")}
    help) COMPREPLY=($(compgen -W "${namesOf(commands)}" -- "$word")) ;;
  esac
}
complete -F _sidelane sidelane
`;
}

function isNames(completes: Completion | undefined): completes is NameCompletion {
  return typeof completes === "string" && completes.endsWith("-names");
}

/** Whoever has begun a flag wants no names, and should not have to wait for them. */
function namesUnlessFlag(completes: NameCompletion): string {
  return `; [[ $word == -* ]] || COMPREPLY+=($(compgen -W "$(${namesCommand(completes)})" -- "$word"))`;
}

function bashAction(completes: Completion): string {
  if (completes === "file") return "_sidelane_files";
  if (isNames(completes)) return `COMPREPLY=($(compgen -W "$(${namesCommand(completes)})" -- "$word"))`;
  return completes === "nothing" ? "COMPREPLY=()" : `COMPREPLY=($(compgen -W "${completes.join(" ")}" -- "$word"))`;
}

function zsh(commands: readonly CommandEntry[]): string {
  return `#compdef sidelane
# zsh completion of sidelane; load it with: eval "$(sidelane completion zsh)"
_sidelane() {
${zshLevel(commands, [help, version], "  ")}
}
compdef _sidelane sidelane
`;
}

/** What follows one word: the commands that can, and what each of them takes. */
function zshLevel(commands: readonly CommandEntry[], flags: readonly Part[], indent: string): string {
  const described = commands.map(({ name, summary }) => `'${name}:${escapeZsh(summary)}'`);
  const cases = commands.map((command) => `  ${command.name})${zshCommand(command, `${indent}    `)} ;;`);
  const lines = [
    `local -a commands=(${[...described, "'help:print help of a command'"].join(" ")})`,
    "if (( CURRENT == 2 )); then",
    "  _describe command commands",
    `  _arguments ${zshSpecs(flags).join(" ")}`,
    "  return",
    "fi",
    'local command="${words[2]}"',
    "shift words",
    "(( CURRENT-- ))",
    'case "$command" in',
    ...cases,
    "  help) _describe command commands ;;",
    "esac",
  ];
  return lines.map((line) => indent + line).join("\n");
}

function zshCommand(command: CommandEntry, indent: string): string {
  if (isGroup(command)) return `\n${zshLevel(command.commands, [help], indent)}`;
  const { operand } = command;
  const rest =
    operand === undefined ? [] : [`'*:${operand.name.replace(/[<>.[\]]/gu, "")}:${zshAction(operand.completes)}'`];
  return ` _arguments ${[...zshSpecs(partsOf(command)), ...rest].join(" ")}`;
}

function zshSpecs(parts: readonly Part[]): readonly string[] {
  return parts.map(({ long, short, text, takesValue, completes }) => {
    const value = takesValue ? `:value:${zshAction(completes)}` : "";
    const name = short === "" ? `'*${long}` : `'*'{${short},${long}}'`;
    return `${name}[${escapeZsh(text)}]${value}'`;
  });
}

function zshAction(completes: Completion): string {
  if (completes === "file") return "_files";
  // Braces: run when asked for.
  if (isNames(completes)) return `{local -a names=(\${(f)"$(${namesCommand(completes)})"}); compadd -a names}`;
  return completes === "nothing" ? "" : `(${completes.join(" ")})`;
}

function escapeZsh(text: string): string {
  return text.replaceAll("'", String.raw`'\''`).replaceAll(/[[\]:]/gu, String.raw`\$&`);
}

function fish(commands: readonly CommandEntry[]): string {
  const lines = [
    "# fish completion of sidelane; load it with: sidelane completion fish | source",
    "complete -c sidelane -f",
    ...fishNames("__fish_use_subcommand", commands),
  ];
  for (const { long, short, text } of [help, version]) {
    const names = `-s ${short.slice(1)} -l ${long.slice(2)}`;
    lines.push(`complete -c sidelane -n __fish_use_subcommand ${names} -d ${quoteFish(text)}`);
  }
  for (const command of commands) {
    const seen = `__fish_seen_subcommand_from ${command.name}`;
    if (isGroup(command)) lines.push(...fishGroup(seen, command));
    else lines.push(...fishCommand(seen, command));
  }
  return `${lines.join("\n")}\n`;
}

function fishNames(when: string, commands: readonly CommandEntry[]): readonly string[] {
  return [...commands, { name: "help", summary: "print help of a command" }].map(
    ({ name, summary }) => `complete -c sidelane -n ${quoteFish(when)} -a ${name} -d ${quoteFish(summary)}`,
  );
}

function fishGroup(seen: string, { commands }: CommandGroup): readonly string[] {
  const none = `${seen}; and not __fish_seen_subcommand_from ${namesOf(commands)} help`;
  const inner = commands.flatMap((one) => fishCommand(`${seen}; and __fish_seen_subcommand_from ${one.name}`, one));
  return [...fishNames(none, commands), ...inner];
}

function fishCommand(seen: string, command: CommandInfo): readonly string[] {
  const when = `-n ${quoteFish(seen)}`;
  const lines = partsOf(command).map(({ long, short, text, takesValue, completes }) => {
    const value = takesValue ? fishAction(completes) : "";
    const names = `${short === "" ? "" : `-s ${short.slice(1)} `}-l ${long.slice(2)}`;
    return `complete -c sidelane ${when} ${names}${value} -d ${quoteFish(text)}`;
  });
  const completes = command.operand?.completes;
  if (completes === "file") lines.push(`complete -c sidelane ${when} -F`);
  else if (isNames(completes))
    lines.push(`complete -c sidelane ${when} -a ${quoteFish(`(${namesCommand(completes)})`)}`);
  else if (isWords(completes)) lines.push(`complete -c sidelane ${when} -a ${quoteFish(completes.join(" "))}`);
  return lines;
}

function fishAction(completes: Completion): string {
  if (completes === "file") return " -r -F";
  if (isNames(completes)) return ` -x -a ${quoteFish(`(${namesCommand(completes)})`)}`;
  return completes === "nothing" ? " -x" : ` -x -a ${quoteFish(completes.join(" "))}`;
}

function quoteFish(text: string): string {
  return /^\w+$/u.test(text) ? text : `'${text.replaceAll(/['\\]/gu, String.raw`\$&`)}'`;
}
