// Completion scripts, written out from the command definitions: nothing runs when a shell completes.

import { MisuseError } from "./command.ts";
import type { CommandInfo, Completion, Flag } from "./command.ts";

const shells: Readonly<Record<string, (commands: readonly CommandInfo[]) => string>> = { bash, zsh, fish };

/** The script for one shell; throws `MisuseError` for one that is not known. */
export function completionScript(shell: string, commands: readonly CommandInfo[]): string {
  const script = Object.hasOwn(shells, shell) ? shells[shell] : undefined;
  if (script === undefined) throw new MisuseError(`error: no completion for '${shell}', choose bash, zsh or fish`);
  return script(commands);
}

interface Part {
  /** `--config` */
  readonly long: string;
  readonly takesValue: boolean;
  readonly text: string;
  readonly completes: Completion;
}

function partOf(flag: Flag): Part {
  const [long = "", value] = flag.flags.split(" ");
  return { long, takesValue: value !== undefined, text: flag.text, completes: flag.completes ?? "nothing" };
}

const help: Part = { long: "--help", takesValue: false, text: "print help", completes: "nothing" };
const version: Part = { long: "--version", takesValue: false, text: "print the version", completes: "nothing" };

function partsOf(command: CommandInfo): readonly Part[] {
  return [...command.flags.map(partOf), help];
}

function bash(commands: readonly CommandInfo[]): string {
  const names = commands.map(({ name }) => name).join(" ");
  const files = new Set(
    commands.flatMap((command) =>
      partsOf(command)
        .filter((part) => part.completes === "file")
        .map(({ long }) => long),
    ),
  );
  const values = new Set(
    commands.flatMap((command) =>
      partsOf(command)
        .filter((part) => part.takesValue && !files.has(part.long))
        .map(({ long }) => long),
    ),
  );
  const cases = commands.map((command) => {
    const flags = partsOf(command)
      .map(({ long }) => long)
      .join(" ");
    const words = Array.isArray(command.operand?.completes) ? command.operand.completes.join(" ") : "";
    const files = command.operand?.completes === "file" ? " _sidelane_files;" : "";
    const offered = [words, flags].filter(Boolean).join(" ");
    return `    ${command.name}) COMPREPLY=($(compgen -W "${offered}" -- "$word"));${files} ;;`.replace("; ;;", " ;;");
  });
  return `# bash completion of sidelane; load it with: eval "$(sidelane completion bash)"
_sidelane_files() {
  compopt -o filenames 2>/dev/null
  COMPREPLY+=($(compgen -f -- "$word"))
}
_sidelane() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}"
  case "$before" in
    ${[...files].join("|")}) _sidelane_files; return ;;
    ${[...values].join("|")}) COMPREPLY=(); return ;;
  esac
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${names} help --help --version" -- "$word")); return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
    help) COMPREPLY=($(compgen -W "${names}" -- "$word")) ;;
  esac
}
complete -F _sidelane sidelane
`;
}

function zsh(commands: readonly CommandInfo[]): string {
  const specs = (parts: readonly Part[]): readonly string[] =>
    parts.map(({ long, text, takesValue, completes }) => {
      const value = takesValue ? `:value:${completes === "file" ? "_files" : ""}` : "";
      return `'*${long}[${escapeZsh(text)}]${value}'`;
    });
  const cases = commands.map((command) => {
    const { operand } = command;
    const rest =
      operand === undefined ? [] : [`'*:${operand.name.replace(/[<>.]/gu, "")}:${zshAction(operand.completes)}'`];
    return `    ${command.name}) _arguments ${[...specs(partsOf(command)), ...rest].join(" ")} ;;`;
  });
  const described = commands.map(({ name, summary }) => `'${name}:${escapeZsh(summary)}'`);
  return `#compdef sidelane
# zsh completion of sidelane; load it with: eval "$(sidelane completion zsh)"
_sidelane() {
  local -a commands=(${[...described, "'help:print help of a command'"].join(" ")})
  if (( CURRENT == 2 )); then
    _describe command commands
    _arguments ${specs([help, version]).join(" ")}
    return
  fi
  local command="\${words[2]}"
  shift words
  (( CURRENT-- ))
  case "$command" in
${cases.join("\n")}
    help) _describe command commands ;;
  esac
}
compdef _sidelane sidelane
`;
}

function zshAction(completes: Completion): string {
  if (completes === "file") return "_files";
  return completes === "nothing" ? "" : `(${completes.join(" ")})`;
}

function escapeZsh(text: string): string {
  return text.replaceAll("'", String.raw`'\''`).replaceAll(/[[\]:]/gu, String.raw`\$&`);
}

function fish(commands: readonly CommandInfo[]): string {
  const quote = (text: string): string => `'${text.replaceAll(/['\\]/gu, String.raw`\$&`)}'`;
  const lines = [
    "# fish completion of sidelane; load it with: sidelane completion fish | source",
    "complete -c sidelane -f",
  ];
  for (const { name, summary } of [...commands, { name: "help", summary: "print help of a command" }]) {
    lines.push(`complete -c sidelane -n __fish_use_subcommand -a ${name} -d ${quote(summary)}`);
  }
  for (const { long, text } of [help, version]) {
    lines.push(`complete -c sidelane -n __fish_use_subcommand -l ${long.slice(2)} -d ${quote(text)}`);
  }
  for (const command of commands) {
    const when = `-n '__fish_seen_subcommand_from ${command.name}'`;
    for (const { long, text, takesValue, completes } of partsOf(command)) {
      const value = completes === "file" ? " -r -F" : takesValue ? " -x" : "";
      lines.push(`complete -c sidelane ${when} -l ${long.slice(2)}${value} -d ${quote(text)}`);
    }
    const completes = command.operand?.completes;
    if (completes === "file") lines.push(`complete -c sidelane ${when} -F`);
    else if (Array.isArray(completes)) lines.push(`complete -c sidelane ${when} -a ${quote(completes.join(" "))}`);
  }
  return `${lines.join("\n")}\n`;
}
