import type { CommandInfo, Flag } from "./command.ts";

const configFlag: Flag = {
  flags: "--config <file>",
  text: "proxy config, see docs/configuration.md",
  env: "SIDELANE_CONFIG",
  completes: "file",
};

/** All commands in the order in which help lists them. */
export const commands: readonly CommandInfo[] = [
  {
    name: "proxy",
    summary: "run the sidecar",
    text:
      "Runs the sidecar until SIGTERM or SIGINT: then readiness fails, running exchanges finish, and it exits with 0. " +
      "A second signal ends it at once. Exits with 1 when config or table is wrong or an address is taken.",
    flags: [{ ...configFlag, required: true }],
    examples: [
      { line: "sidelane proxy --config sidelane.yaml", text: "the sidecar as the file says" },
      {
        line: "SIDELANE_ADMIN_ADDRESS=127.0.0.1:0 sidelane proxy --config sidelane.yaml",
        text: "every field has an environment variable, which wins",
      },
    ],
    run: async (_, flags) => (await import("./proxy.ts")).proxy(String(flags["config"])),
  },
  {
    name: "check",
    summary: "validate tables and proxy configs",
    text:
      "Tells tables from proxy configs by their content and prints the problems of every file as " +
      "'file:line:column: what, why, what to write instead': those of its shape first; what its parts say about each other " +
      "is checked once these are mended. A proxy config is also compared with the table it names. " +
      "Exits with 1 when there is any problem; warnings alone are fine.",
    operand: { name: "<file...>", text: "tables and proxy configs", completes: "file" },
    flags: [],
    examples: [
      { line: "sidelane check routes.yaml", text: "one table" },
      { line: "sidelane check deploy/*.yaml", text: "all files at once, as in a pull request" },
    ],
    run: async (files) => (await import("./check.ts")).check(files),
  },
  {
    name: "explain",
    summary: "say where a request would go, and why",
    text:
      "Decides as the sidecar would, without a running one, and shows each step. Without --config the request is taken " +
      "as an outbound one whose key is in the baggage member 'sidelane'.",
    flags: [
      { flags: "--table <file>", text: "routing table; default: the one that --config names", completes: "file" },
      { flags: "--service <name>", text: "service, or an authority as callers write it", required: true },
      { flags: "--header <header>", text: "request header 'name: value'; may be repeated", repeats: true },
      { flags: "--config <file>", text: "proxy config: carriers, service, onUnknownKey", completes: "file" },
      { flags: "--json", text: "print the explanation as JSON" },
    ],
    examples: [
      {
        line: "sidelane explain --table routes.yaml --service checkout --header 'baggage: sidelane=pr-7'",
        text: "who gets this request",
      },
      {
        line: "sidelane explain --config sidelane.yaml --service checkout --json",
        text: "as the sidecar with this config decides, for a script",
      },
    ],
    run: async (_, flags) => (await import("./explain.ts")).explainCommand(flags),
  },
  {
    name: "demo",
    summary: "show it on a small shop of real processes",
    text:
      "Starts a shop of four services, three sandboxes and a sidecar beside each, sends requests, and prints who answered. " +
      "Uses free ports and leaves nothing behind. Stays up until Ctrl-C.",
    flags: [{ flags: "--once", text: "verify everything and end: 0 all as it should be, 1 something differed" }],
    examples: [
      { line: "sidelane demo", text: "the tour, and then a page to play with" },
      { line: "sidelane demo --once", text: "as a test" },
    ],
    run: async (_, flags) => (await import("./demo.ts")).demo(flags["once"] === true),
  },
  {
    name: "completion",
    summary: "print a completion script for a shell",
    text: "Prints a script that completes commands, flags and files.",
    operand: { name: "<shell>", text: "bash, zsh or fish", completes: ["bash", "zsh", "fish"] },
    flags: [],
    examples: [
      { line: 'eval "$(sidelane completion bash)"', text: "in ~/.bashrc" },
      { line: 'eval "$(sidelane completion zsh)"', text: "in ~/.zshrc, after compinit" },
      { line: "sidelane completion fish | source", text: "in ~/.config/fish/config.fish" },
    ],
    run: async ([shell]) => {
      process.stdout.write((await import("./completion.ts")).completionScript(shell ?? "", commands));
      return 0;
    },
  },
];
