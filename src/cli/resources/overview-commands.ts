import type { CommandInfo } from "../command.ts";
import { controlFlags } from "../control-access.ts";
import { jsonOutputFlag, outputFlag } from "./output-flag.ts";
import { allowUnknownFlag, fileFlag, waitFlags } from "./write-flags.ts";

/** `sidelane apply` */
export const applyInfo: CommandInfo = {
  name: "apply",
  summary: "make the control plane's resources as files say",
  text:
    "Makes what is not there, changes what differs, and says of each resource: created, changed or unchanged. What the files do not " +
    "have stays. A table file brings in its services, sandboxes and groups. Exits with 1 when one of them was refused, or is not " +
    "ready in time with --wait.",
  flags: [{ ...fileFlag, required: true }, allowUnknownFlag, ...waitFlags, outputFlag, ...controlFlags],
  examples: [
    { line: "sidelane apply -f pr-7.yaml --wait", text: "in a pipeline, as often as you like" },
    { line: "sidelane apply -f routes.yaml", text: "brings in a whole table" },
    {
      line: "sidelane sandbox get pr-7 -o yaml | sed 's/pr-7/pr-8/' | sidelane apply -f -",
      text: "a copy under another name",
    },
  ],
  run: async (_, values) => (await import("./apply.ts")).applyCommand(values),
};

/** `sidelane audit` */
export const auditInfo: CommandInfo = {
  name: "audit",
  summary: "show who changed what",
  text: "Prints the newest entries of the control plane's audit log, newest first.",
  flags: [
    { flags: "--kind <kind>", text: "only of this kind", completes: ["sandbox", "group", "service"] },
    { flags: "--name <name>", text: "only of what has this name", completes: "sandbox-names" },
    { flags: "--limit <count>", text: "so many; default: 20" },
    jsonOutputFlag,
    ...controlFlags,
  ],
  examples: [
    { line: "sidelane audit", text: "the last changes" },
    { line: "sidelane audit --kind sandbox --name pr-7 -o json", text: "what happened to one sandbox" },
  ],
  run: async (_, values) => (await import("../audit.ts")).auditCommand(values),
};

/** `sidelane sidecars` */
export const sidecarsInfo: CommandInfo = {
  name: "sidecars",
  summary: "list the sidecars that follow the control plane's table",
  text:
    "Lists the sidecars of all control replicas, the revision of the table that each has in use, and which of them are behind and " +
    "why. Exits with 1 when a replica did not answer, because its sidecars are missing then.",
  flags: [
    { flags: "--service <name>", text: "only those beside this service", completes: "service-names" },
    { flags: "--sandbox <name>", text: "only those beside this sandbox's own copies", completes: "sandbox-names" },
    jsonOutputFlag,
    ...controlFlags,
  ],
  examples: [
    { line: "sidelane sidecars", text: "all of them" },
    { line: "sidelane sidecars --service checkout", text: "those of one service" },
  ],
  run: async (_, values) => (await import("../sidecars.ts")).sidecarsCommand(values),
};
