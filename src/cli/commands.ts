import type { CommandEntry, Flag } from "./command.ts";
import { connectInfo } from "./connect/info.ts";
import { controlFlags, optionalControlFlags } from "./control-access.ts";
import { keyCommands } from "./key/commands.ts";
import { groupCommands, sandboxCommands, serviceCommands } from "./resources/commands.ts";
import { jsonOutputFlag } from "./resources/output-flag.ts";
import { applyInfo, auditInfo, sidecarsInfo } from "./resources/overview-commands.ts";

const configFlag: Flag = {
  flags: "--config <file>",
  text: "proxy config, see docs/configuration.md",
  env: "SIDELANE_CONFIG",
  completes: "file",
};

/** All commands in the order in which help lists them. */
export const commands: readonly CommandEntry[] = [
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
    summary: "validate tables and configs",
    text:
      "Tells tables and the configs of proxy, control plane, webhook and operator by their content, and prints the problems of every file as " +
      "'file:line:column: what, why, what to write instead': those of its shape first; what its parts say about each other " +
      "is checked once these are mended. A proxy config is also compared with the table it names. " +
      "Exits with 1 when there is any problem; warnings alone are fine.",
    operand: { name: "<file...>", text: "tables and configs", completes: "file" },
    flags: [],
    examples: [
      { line: "sidelane check routes.yaml", text: "one table" },
      { line: "sidelane check deploy/*.yaml", text: "all files at once, as in a pull request" },
    ],
    run: async (files) => (await import("./check.ts")).check(files),
  },
  {
    name: "ready",
    summary: "say whether a sidecar or a control plane takes requests",
    text:
      "Asks 'GET /ready' of an admin address or of a control plane's API, for health checks in containers that have no curl. " +
      "Exits with 0 and says nothing when it is ready, else with 1 and why not.",
    flags: [
      {
        flags: "--admin <address>",
        text: "host:port or URL; default: 127.0.0.1:15000",
        env: "SIDELANE_ADMIN_ADDRESS",
      },
    ],
    examples: [
      { line: "sidelane ready", text: "the sidecar on this machine, or in this container" },
      { line: "sidelane ready --admin 127.0.0.1:15020", text: "a control plane" },
    ],
    run: async (_, { admin }) => (await import("./ready.ts")).ready(...(typeof admin === "string" ? [admin] : [])),
  },
  {
    name: "explain",
    summary: "say where a request would go, and why",
    text:
      "Decides as the sidecar would, without a running one, and shows each step. With --config the request comes to the " +
      "config's own service when --service is that or left out, else it goes out to the other one. Without --config it " +
      "is taken as an outbound one whose key is in the baggage member 'sidelane'. With --control the table is the one that " +
      "the control plane's sidecars get.",
    flags: [
      { flags: "--table <file>", text: "routing table; default: the one that --config names", completes: "file" },
      { flags: "--service <name>", text: "service, or an authority as callers write it" },
      { flags: "--header <header>", text: "request header 'name: value'; may be repeated", repeats: true },
      { flags: "--path <target>", text: "request target, where a carrier looks into the query" },
      { flags: "--caller <address>", text: "who sends the request, to a listener with edge: true" },
      { flags: "--config <file>", text: "proxy config: service, listeners, tenancy", completes: "file" },
      { flags: "--json", text: "print the explanation as JSON" },
      ...optionalControlFlags,
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
      {
        line: "sidelane explain --config edge.yaml --path '/?sidelane=pr-7' --caller 203.0.113.9",
        text: "what a share link does for somebody outside",
      },
      {
        line: "sidelane explain --control http://control:15020 --service checkout --header 'baggage: sidelane=pr-7'",
        text: "as the sidecars of a control plane decide now",
      },
    ],
    run: async (_, flags) => (await import("./explain.ts")).explainCommand(flags),
  },
  {
    name: "diff",
    summary: "say which decisions differ between two tables",
    text:
      "Compares two tables by what they do: for every port of every service and every key, and for requests without one, where " +
      "they go. A table is a file, 'control' for the one of the control plane, or the URL of one. Exits with 0 when every " +
      "request goes where it went, with 1 when some do not.",
    operand: { name: "<table...>", text: "the old one and the new one", completes: "file" },
    flags: [jsonOutputFlag, ...controlFlags],
    examples: [
      {
        line: "sidelane diff control routes.yaml",
        text: "what 'sidelane apply -f routes.yaml' would change for requests",
      },
      { line: "sidelane diff old.yaml new.yaml -o json", text: "two files, for a script" },
    ],
    run: async (tables, flags) => (await import("./diff.ts")).diffCommand(tables, flags),
  },
  {
    name: "control",
    summary: "run the control plane",
    text:
      "Keeps services, sandboxes and groups, hands the table to sidecars with table.control, and serves the API that the other " +
      "commands use. Without --config everything has its default: a directory beside, addresses on loopback, no authentication. " +
      "Runs until SIGTERM or SIGINT. Exits with 1 when the config is wrong, the store cannot be used, or an address is taken.",
    flags: [
      {
        flags: "--config <file>",
        text: "control config, see docs/control-configuration.md",
        env: "SIDELANE_CONTROL_CONFIG",
        completes: "file",
      },
      {
        flags: "--store <url>",
        text: "where everything is kept, in place of the config's: file:DIR, etcd://HOST:PORT,.../PREFIX, or kubernetes://NAMESPACE",
      },
    ],
    examples: [
      { line: "sidelane control --store file:./sidelane-control", text: "on this machine, kept in a directory" },
      { line: "sidelane control --config control.yaml", text: "as the file says" },
    ],
    run: async (_, flags) => (await import("./control.ts")).control(flags),
  },
  {
    name: "operator",
    summary: "run the Kubernetes operator",
    text:
      "Makes Sandboxes and RouteGroups of Kubernetes come true: builds forks from their baselines and follows these, writes routes " +
      "to the control plane, finds services, keeps certificates. Of several replicas one works and the others wait. Runs until " +
      "SIGTERM or SIGINT. Exits with 1 when the config is wrong, there is no cluster, or an address is taken.",
    flags: [
      {
        flags: "--config <file>",
        text: "operator config, see docs/kubernetes-operator.md",
        completes: "file",
      },
      {
        flags: "--kubeconfig <file>",
        text: "which cluster; default: KUBECONFIG, else the one that the pod runs in",
        completes: "file",
      },
      {
        flags: "--cleanup",
        text: "instead, delete all Sandboxes and RouteGroups, the webhook's configuration and whatever else Sidelane has made in the cluster",
      },
      {
        flags: "--within <duration>",
        text: "with --cleanup: an operator gets so long to let go of them; default: 120s",
      },
    ],
    examples: [
      { line: "sidelane operator --config operator.yaml", text: "in a pod, or with KUBECONFIG" },
      {
        line: "sidelane operator --config operator.yaml --kubeconfig kind.yaml",
        text: "beside a cluster, to try things out",
      },
    ],
    run: async (_, flags) => (await import("./operator.ts")).operator(flags),
  },
  {
    name: "webhook",
    summary: "answer Kubernetes' questions about new pods",
    text:
      "Puts the sidecar into pods that are about to be created, in namespaces with the label sidelane.dev/injection. The Helm chart " +
      "runs it; docs/injection.md says what becomes of a pod. Runs until SIGTERM or SIGINT. Exits with 1 when the config is wrong or an " +
      "address is taken; a certificate or an API server that is not there yet is waited for.",
    flags: [
      {
        flags: "--config <file>",
        text: "webhook config, see docs/webhook-configuration.md",
        env: "SIDELANE_WEBHOOK_CONFIG",
        completes: "file",
        required: true,
      },
    ],
    examples: [{ line: "sidelane webhook --config webhook.yaml", text: "as the file says" }],
    run: async (_, flags) => (await import("./webhook.ts")).webhook(String(flags["config"])),
  },
  sandboxCommands,
  groupCommands,
  serviceCommands,
  connectInfo,
  applyInfo,
  sidecarsInfo,
  auditInfo,
  {
    name: "doctor",
    summary: "look at a set-up and say what is wrong",
    text:
      "Looks at a Kubernetes cluster, a compose file or a running control plane, changes nothing, and says what is wrong and " +
      "what to do. Without flags it looks at the compose file of this folder. Exits with 1 when something is wrong.",
    flags: [
      { flags: "--kubernetes", text: "look at the cluster of the kubeconfig" },
      {
        flags: "--kubeconfig <file>",
        text: "which kubeconfig; default: as kubectl chooses",
        completes: "file",
      },
      { flags: "--context <name>", text: "which context of it" },
      { flags: "--install-namespace <name>", text: "where Sidelane is installed; default: sidelane" },
      {
        flags: "--compose <file>",
        text: "look at a compose file; may be repeated, later ones go over earlier ones",
        repeats: true,
        completes: "file",
      },
      ...optionalControlFlags.map((flag) =>
        flag.flags.startsWith("--control") ? { ...flag, text: `look at the control plane there: ${flag.text}` } : flag,
      ),
      jsonOutputFlag,
    ],
    examples: [
      { line: "sidelane doctor --kubernetes", text: "everything from the installation to the pods without a sidecar" },
      { line: "sidelane doctor --compose compose.yaml", text: "is each sidecar in front of its app?" },
      {
        line: "sidelane doctor --control http://127.0.0.1:15020",
        text: "who follows the table, and which sandboxes are not ready",
      },
    ],
    run: async (_, flags) => (await import("./doctor.ts")).doctor(flags),
  },
  keyCommands,
  {
    name: "trace",
    summary: "show the path of one request through the sidecars",
    text:
      "Asks the journals of several sidecars for one trace and prints who called whom, who answered and why, as a tree. " +
      "The journal has requests with a routing key. Sidecars that cannot be asked are named and left out. Of each the " +
      "newest 250 entries of the trace are shown; where there are more, it says so. Exits with 1 when none of them knows the trace.",
    operand: { name: "<id>", text: "trace id, or the value of a traceparent header", completes: "nothing" },
    flags: [
      {
        flags: "--admin <address...>",
        text: "admin addresses of the sidecars, as host:port or URL; may be repeated",
        repeats: true,
      },
      ...optionalControlFlags.map((flag) =>
        flag.flags.startsWith("--control")
          ? { ...flag, text: `in place of --admin: ${flag.text} for all its sidecars` }
          : flag,
      ),
      { flags: "--json", text: "print path and sidecars as JSON" },
      { flags: "--wait", text: "ask again until the trace is there and nothing of it runs, at most 30 s" },
    ],
    examples: [
      {
        line: "sidelane trace 4bf92f3577b34da6a3ce929d0e0e4736 --admin 10.0.0.5:15000 10.0.0.7:15000",
        text: "the path of a request through two sidecars",
      },
      {
        line: "sidelane trace 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01 --admin 127.0.0.1:15000 --wait --json",
        text: "by its traceparent, as soon as it is answered, for a script",
      },
      {
        line: "sidelane trace 4bf92f3577b34da6a3ce929d0e0e4736 --control http://control:15020",
        text: "through all sidecars that follow a control plane",
      },
    ],
    run: async ([id], flags) => (await import("./trace/command.ts")).traceCommand(id ?? "", flags),
  },
  {
    name: "intercept",
    summary: "lead a pod's connections through its sidecar",
    text:
      "Makes iptables rules in this network namespace, IPv6 included where there is any: connections from outside to the " +
      "ports of --inbound go to the sidecar's listeners, and those that local processes make to the ports of --outbound; all others " +
      "stay as they are. What the sidecar's own user sends is left alone. Run again, it replaces its rules. Needs root with " +
      "NET_ADMIN and NET_RAW, as in an init container. Exits with 1 when the rules cannot be made, and says what is missing.",
    flags: [
      { flags: "--inbound <ports>", text: "PORT:LISTENER,...: ports of the app, ports of the sidecar", repeats: true },
      {
        flags: "--outbound <ports>",
        text: "PORT:LISTENER,...: ports of other services, ports of the sidecar",
        repeats: true,
      },
      {
        flags: "--exclude-source <ranges>",
        text: "callers that reach the app directly, as 10.0.0.0/8,fd00::/8",
        repeats: true,
      },
      { flags: "--exclude-destination <ranges>", text: "destinations that the app reaches directly", repeats: true },
      { flags: "--user <id>", text: "user id of the sidecar; default: 15065" },
      {
        flags: "--iptables <variant>",
        text: "take this one, and no other; default: what works",
        completes: ["nft", "legacy"],
      },
      { flags: "--dry-run", text: "print the rules and make none" },
      { flags: "--remove", text: "remove the rules" },
    ],
    examples: [
      { line: "sidelane intercept --inbound 8080:15100,9090:15101", text: "two ports of the app" },
      {
        line: "sidelane intercept --inbound 8080:15100 --outbound 80:15200 --exclude-destination 169.254.0.0/16 --dry-run",
        text: "what the rules would be, with requests to other services, but not to the metadata server",
      },
    ],
    run: async (_, flags) => (await import("./intercept.ts")).interceptCommand(flags),
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
