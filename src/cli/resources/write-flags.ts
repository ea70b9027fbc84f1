import type { Flag } from "../command.ts";

export const fileFlag: Flag = {
  flags: "-f, --file <file>",
  text: "YAML or JSON with one or several resources, { kind, name, ... } each, or a whole table; - is stdin; may be repeated",
  repeats: true,
  completes: "file",
};

export const waitFlags: readonly Flag[] = [
  {
    flags: "--wait",
    text: "return when every live sidecar has it and the sandbox has answered a probe for each of its services",
  },
  { flags: "--timeout <duration>", text: "how long --wait waits; default: 60s" },
];

export const allowUnknownFlag: Flag = {
  flags: "--allow-unknown-services",
  text: "a sandbox may have services that nobody declared, as in a table file",
};
