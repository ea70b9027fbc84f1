import type { CommandInfo } from "../command.ts";
import { controlFlags } from "../control-access.ts";

export const connectInfo: CommandInfo = {
  name: "connect",
  summary: "let the requests of a sandbox reach this machine",
  text:
    "Opens a connection to the control plane, and through it the sandbox's requests for a service come to an app on this " +
    "machine: HTTP/1.1, gRPC, WebSocket, anything over TCP, and nothing but the apps that are named here. Comes back by itself when the " +
    "connection is lost. Ends with Ctrl-C: then the sandbox falls back as its 'whenDisconnected' says, running exchanges " +
    "get 5 s, and it exits with 0; a second Ctrl-C ends it at once. Exits with 1 when the control plane says no. --control, " +
    "or SIDELANE_CONTROL, may be several URLs with commas between them: replicas of which any will do. See docs/connect.md.",
  flags: [
    { flags: "--sandbox <name>", text: "the sandbox", required: true },
    {
      flags: "--service <service>",
      text: "service and the app that answers for it, as checkout=localhost:3000, with a port of the service as ledger:grpc=localhost:9090; may be repeated",
      required: true,
      repeats: true,
    },
    { flags: "--create", text: "make the sandbox if there is none; it is deleted when its last connection ends" },
    { flags: "--take-over", text: "also where another machine is connected: it is sent away" },
    { flags: "-o, --output <format>", text: "text, or json: events, one object a line", completes: ["text", "json"] },
    ...controlFlags,
  ],
  examples: [
    {
      line: "sidelane connect --sandbox pr-7 --service checkout=localhost:3000",
      text: "requests with the key of pr-7 reach the checkout on this machine",
    },
    {
      line: "sidelane connect --sandbox ada --create --service ledger:http=8080 --service ledger:grpc=9090",
      text: "both ports of the ledger, in a sandbox that lives as long as this",
    },
    {
      line: "sidelane connect --sandbox pr-7 --service checkout=3000 --control http://control-0:15020,http://control-1:15020",
      text: "whichever replica of the control plane is there",
    },
  ],
  run: async (_, flags) => (await import("./command.ts")).connectCommand(flags),
};
