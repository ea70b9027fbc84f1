import type { Kind } from "../../control/resource.ts";
import type { CommandGroup, CommandInfo, Flag } from "../command.ts";
import { controlFlags } from "../control-access.ts";
import { outputFlag } from "./output-flag.ts";
import { allowUnknownFlag, fileFlag, waitFlags } from "./write-flags.ts";

const ifVersionFlag: Flag = {
  flags: "--if-version <version>",
  text: "only if this is its version, as 'get' shows it: nobody has changed it since",
};

const describedFlags = (isUpdate: boolean): readonly Flag[] => [
  {
    flags: "--label <label>",
    text: `label, as team=a; may be repeated${isUpdate ? "; team- takes it away" : ""}`,
    repeats: true,
  },
  { flags: "--owner <name>", text: "whom to ask about it" },
  { flags: "--description <text>", text: "what it is for" },
];

const keyFlag: Flag = { flags: "--key <key>", text: "routing key that selects it; default: its name" };

const sandboxFlags = (isUpdate: boolean): readonly Flag[] => [
  {
    flags: "--service <service>",
    text:
      "changed service with its endpoint, as checkout=10.0.0.7:8080, with a port of the service as ledger:grpc=10.0.0.8:9090; " +
      `several endpoints with commas; may be repeated${isUpdate ? "; checkout- takes it away" : ""}`,
    repeats: true,
  },
  keyFlag,
  { flags: "--strict", text: "what it has, it answers, or nobody: never the baseline in its place" },
  ...(isUpdate ? [{ flags: "--not-strict", text: "takes --strict back" }] : []),
  {
    flags: "--ttl <duration>",
    text: `deletes it after that time: 90m, 4h, 7d${isUpdate ? "; none: never" : ""}`,
  },
  {
    flags: "--ttl-from <event>",
    text: "what the ttl counts from; default: creation",
    completes: ["creation", "traffic"],
  },
  {
    flags: "--when-disconnected <what>",
    text: "what becomes of a service when the machine that is connected for it goes; default: fall-back",
    completes: ["fall-back", "unavailable"],
  },
  ...describedFlags(isUpdate),
  allowUnknownFlag,
];

const groupFlags = (isUpdate: boolean): readonly Flag[] => [
  {
    flags: "--sandbox <name>",
    text: "sandbox that belongs to it, in order: the first that has a service wins; may be repeated, or written with commas",
    repeats: true,
    completes: "sandbox-names",
  },
  {
    flags: "--match-all <label>",
    text: "in place of --sandbox: all sandboxes with this label; may be repeated: with all of them",
    repeats: true,
  },
  {
    flags: "--match-any <label>",
    text: "in place of --sandbox: all sandboxes with one of these labels; may be repeated",
    repeats: true,
  },
  keyFlag,
  ...describedFlags(isUpdate),
];

const serviceFlags = (isUpdate: boolean): readonly Flag[] => [
  {
    flags: "--host <host>",
    text: "how callers name it, without port; default: its name; may be repeated",
    repeats: true,
  },
  {
    flags: "--port <port>",
    text: "port with its number, as grpc=9090, for a service with several; may be repeated",
    repeats: true,
  },
  {
    flags: "--baseline <endpoint>",
    text: "shared instance, as 10.0.0.1:8080, with a port of the service as grpc=10.0.0.1:9090; may be repeated",
    repeats: true,
  },
  {
    flags: "--probe <protocol>",
    text: "how a sandbox is asked whether it answers; default: auto",
    completes: ["auto", "http1", "http2", "grpc", "tcp", "none"],
  },
  { flags: "--probe-path <path>", text: "what it is asked for; default: /" },
  ...describedFlags(isUpdate),
];

interface KindInfo {
  readonly kind: Kind;
  readonly text: string;
  readonly flags: (isUpdate: boolean) => readonly Flag[];
  readonly createExample: { readonly line: string; readonly text: string };
  readonly moreCreateExamples: readonly { readonly line: string; readonly text: string }[];
  readonly updateExamples: readonly { readonly line: string; readonly text: string }[];
  readonly example: string;
}

const infos: Readonly<Record<Kind, KindInfo>> = {
  sandbox: {
    kind: "sandbox",
    text:
      "A sandbox is a named set of changed services, each with endpoints of its own. Requests with its routing key reach them; " +
      "everything else of the application is the shared baseline. See docs/sandboxes.md.",
    flags: sandboxFlags,
    example: "pr-7",
    createExample: {
      line: "sidelane sandbox create pr-7 --service checkout=10.0.0.7:8080 --wait",
      text: "one changed service; returns when requests with the key pr-7 reach it",
    },
    moreCreateExamples: [
      {
        line: "sidelane sandbox create pr-8 --service ledger:http=10.0.0.8:8080 --service ledger:grpc=10.0.0.8:9090 --label team=pay --ttl 4h",
        text: "a service with two ports; gone after four hours",
      },
      { line: "sidelane sandbox create -f pr-7.yaml --wait --timeout 5m", text: "as a file says" },
    ],
    updateExamples: [
      {
        line: "sidelane sandbox update pr-7 --service checkout=10.0.0.9:8080 --wait",
        text: "another endpoint; everything else stays",
      },
      { line: "sidelane sandbox update pr-7 --service ledger- --label team- --ttl none", text: "takes things away" },
    ],
  },
  group: {
    kind: "group",
    text:
      "A route group selects several sandboxes with one key. It lists them in order, and the first that has a service wins; or it " +
      "has all sandboxes with certain labels, as they come and go. See docs/sandboxes.md.",
    flags: groupFlags,
    example: "release-42",
    createExample: {
      line: "sidelane group create release-42 --sandbox pr-7 --sandbox pr-9",
      text: "two sandboxes with the one key release-42",
    },
    moreCreateExamples: [
      {
        line: "sidelane group create pay-next --match-all team=pay",
        text: "all sandboxes of a team, as they come and go",
      },
    ],
    updateExamples: [
      { line: "sidelane group update release-42 --sandbox pr-7,pr-9,pr-11", text: "another list of sandboxes" },
    ],
  },
  service: {
    kind: "service",
    text:
      "A service is a named workload that others call: the hosts by which they do, its ports, and the shared instances that answer " +
      "whatever no sandbox claims. A table file brings all of its services in: sidelane apply -f routes.yaml",
    flags: serviceFlags,
    example: "checkout",
    createExample: {
      line: "sidelane service create checkout --host checkout --host checkout.shop.svc.cluster.local --baseline checkout:8080",
      text: "a service with one port",
    },
    moreCreateExamples: [
      {
        line: "sidelane service create ledger --port http=8080 --port grpc=9090 --baseline http=ledger:8080 --baseline grpc=ledger:9090",
        text: "a service with two ports",
      },
    ],
    updateExamples: [
      {
        line: "sidelane service update checkout --baseline checkout-2:8080 --if-version 17",
        text: "only if nobody was faster",
      },
    ],
  },
};

function createInfo({ kind, flags, createExample, moreCreateExamples }: KindInfo): CommandInfo {
  return {
    name: "create",
    summary: `make a ${kind}`,
    text:
      `Makes a ${kind} that is not there yet, or those of files. Exits with 1 when the control plane refuses one of them` +
      `${kind === "sandbox" ? ", or when it is not ready in time with --wait; Ctrl-C stops the waiting alone" : ""}.`,
    operand: { name: "[name]", text: `name of the ${kind}; left out with -f`, completes: "nothing" },
    flags: [...flags(false), fileFlag, ...(kind === "sandbox" ? waitFlags : []), outputFlag, ...controlFlags],
    examples: [createExample, ...moreCreateExamples],
    run: async (names, values) => (await import("./write.ts")).createCommand(kind, names, values),
  };
}

function updateInfo({ kind, flags, updateExamples }: KindInfo): CommandInfo {
  return {
    name: "update",
    summary: `change a ${kind}`,
    text:
      "Changes what is given and leaves everything else as it is. With -f, what the file has: a merge patch (RFC 7396), in which null " +
      "takes a field away. Exits with 1 when the control plane refuses it.",
    operand: { name: "[name]", text: `name of the ${kind}; left out with -f`, completes: `${kind}-names` },
    flags: [
      ...flags(true),
      fileFlag,
      ifVersionFlag,
      ...(kind === "sandbox" ? waitFlags : []),
      outputFlag,
      ...controlFlags,
    ],
    examples: updateExamples,
    run: async (names, values) => (await import("./write.ts")).updateCommand(kind, names, values),
  };
}

function deleteInfo({ kind, example }: KindInfo): CommandInfo {
  const wait: Flag = {
    flags: "--wait",
    text: "return when no sidecar has it any more, and its last request is answered",
  };
  const isSandbox = kind === "sandbox";
  return {
    name: "delete",
    summary: `delete a ${kind}, or several`,
    text:
      `Deletes them${isSandbox ? "; requests that run are answered, new ones go to the baseline" : ""}. Those of files go in reverse, groups before ` +
      "their sandboxes. Exits with 1 when one of them could not be deleted.",
    operand: { name: "[name...]", text: `names; left out with -f`, completes: `${kind}-names` },
    flags: [
      fileFlag,
      ifVersionFlag,
      { flags: "--ignore-missing", text: "what is not there is no failure" },
      ...(isSandbox ? [wait, { flags: "--timeout <duration>", text: "how long --wait waits; default: 60s" }] : []),
      ...controlFlags,
    ],
    examples: [
      { line: `sidelane ${kind} delete ${example}${isSandbox ? " --wait" : ""}`, text: "this one" },
      {
        line: `sidelane ${kind} delete -f ${example}.yaml --ignore-missing`,
        text: "what a file has, as at the end of a pipeline",
      },
    ],
    run: async (names, values) => (await import("./write.ts")).deleteCommand(kind, names, values),
  };
}

function getInfo({ kind, example }: KindInfo): CommandInfo {
  const tells =
    kind === "sandbox" ? ", whether it is ready, and if not, which sidecar or endpoint is behind and why" : "";
  return {
    name: "get",
    summary: `show a ${kind}`,
    text: `Shows all of it${tells}. The YAML is what 'sidelane apply -f' reads.`,
    operand: { name: "<name...>", text: "names", completes: `${kind}-names` },
    flags: [outputFlag, ...controlFlags],
    examples: [
      { line: `sidelane ${kind} get ${example}`, text: "for people" },
      {
        line: `sidelane ${kind} get ${example} -o yaml > ${example}.yaml`,
        text: "to change it in an editor and apply it",
      },
    ],
    run: async (names, values) => (await import("./show.ts")).getCommand(kind, names, values),
  };
}

function listInfo({ kind }: KindInfo, plural: string): CommandInfo {
  return {
    name: "list",
    summary: `list ${plural}`,
    text: `Lists ${plural}, by name.`,
    flags: [
      {
        flags: "-l, --label <label>",
        text: "only those with this label, as team=a, or as team for any value; may be repeated: with all of them",
        repeats: true,
      },
      { flags: "--owner <name>", text: "only those of this owner" },
      { flags: "--within <duration>", text: "gives up when there is no answer by then; default: 30s" },
      outputFlag,
      ...controlFlags,
    ],
    examples: [
      { line: `sidelane ${kind} list`, text: "all of them" },
      { line: `sidelane ${kind} list -l team=pay -o json`, text: "those with a label, for a script" },
    ],
    run: async (_, values) => (await import("./show.ts")).listCommand(kind, values),
  };
}

const waitInfo: CommandInfo = {
  name: "wait",
  summary: "wait until a sandbox is ready, or gone",
  text:
    "Ready is a sandbox that every live sidecar has applied and that has answered a probe for each of its services. Progress goes " +
    "to stderr. Exits with 1 when the time is up, and says which sidecar or endpoint is behind and why.",
  operand: { name: "<name...>", text: "names", completes: "sandbox-names" },
  flags: [
    { flags: "--for <what>", text: "what to wait for; default: ready", completes: ["ready", "deleted"] },
    { flags: "--timeout <duration>", text: "how long; default: 60s" },
    ...controlFlags,
  ],
  examples: [
    { line: "sidelane sandbox wait pr-7", text: "until requests with its key reach it" },
    { line: "sidelane sandbox wait pr-7 --for deleted --timeout 5m", text: "until nothing of it runs any more" },
  ],
  run: async (names, values) => (await import("./write.ts")).waitCommand(names, values),
};

function groupOf(kind: Kind, plural: string, more: readonly CommandInfo[] = []): CommandGroup {
  const info = infos[kind];
  return {
    name: kind,
    summary: `make, show, change and delete ${plural} at the control plane`,
    text: info.text,
    commands: [createInfo(info), getInfo(info), listInfo(info, plural), updateInfo(info), deleteInfo(info), ...more],
  };
}

/** `sidelane sandbox ...` */
export const sandboxCommands: CommandGroup = groupOf("sandbox", "sandboxes", [waitInfo]);
/** `sidelane group ...` */
export const groupCommands: CommandGroup = groupOf("group", "route groups");
/** `sidelane service ...` */
export const serviceCommands: CommandGroup = groupOf("service", "services");
