import type { CommandGroup, Flag } from "../command.ts";

const algorithmFlag: Flag = {
  flags: "--algorithm <name>",
  text: "how it is signed",
  completes: ["hmac", "ed25519"],
};

/** `sidelane key`: signed routing keys. */
export const keyCommands: CommandGroup = {
  name: "key",
  summary: "make and verify signed routing keys",
  text:
    "A signed key is a routing key for somebody outside: it names a sandbox, expires, and cannot be made up. Listeners with " +
    "'edge: true' ask for one as soon as 'tenancy.edge.signedBy' names signing keys. It is a JWT of type sidelane+jwt, so any " +
    "JWT library can make one, too.",
  commands: [
    {
      name: "sign",
      summary: "print a signed key, or a link with it",
      text: "Prints a signed key on a line and, with --url, the share link on the next.",
      flags: [
        { flags: "--sandbox <key>", text: "routing key of a sandbox or group, by default its name", required: true },
        { flags: "--expires <duration>", text: "how long it counts: 90s, 30m, 12h, 7d, 4w", required: true },
        { flags: "--key <file>", text: "secret, or private Ed25519 key", required: true, completes: "file" },
        { ...algorithmFlag, text: "how it is signed; default: what the file is good for" },
        { flags: "--id <name>", text: "id of the signing key in 'tenancy.edge.signedBy'; default: k1" },
        { flags: "--url <url>", text: "URL of the share link, with {key} where the signed key belongs" },
      ],
      examples: [
        { line: "sidelane key sign --sandbox pr-7 --expires 7d --key k1.secret", text: "a key for a week" },
        {
          line: "sidelane key sign --sandbox pr-7 --expires 7d --key k1.secret --url 'https://shop.example.com/?sidelane={key}'",
          text: "a link for a person without a browser extension",
        },
      ],
      run: async (_, flags) => (await import("./sign.ts")).signCommand(flags),
    },
    {
      name: "verify",
      summary: "say whether a signed key counts, for what and until when",
      text:
        "Prints key, expiry and signer. With --key the id of the signing key does not matter, with --config everything is as " +
        "its sidecar sees it. Exits with 1 when the key does not count.",
      operand: { name: "<token>", text: "signed key, the whole of it", completes: "nothing" },
      flags: [
        {
          flags: "--key <file>",
          text: "secret, or Ed25519 key; may be repeated: one of them has to fit",
          repeats: true,
          completes: "file",
        },
        { flags: "--config <file>", text: "proxy config with 'tenancy.edge.signedBy'", completes: "file" },
      ],
      examples: [
        { line: 'sidelane key verify "$TOKEN" --key k1.secret', text: "with the file it was signed with" },
        { line: 'sidelane key verify "$TOKEN" --config sidelane.yaml', text: "as the sidecar at the edge does" },
      ],
      run: async ([token], flags) => (await import("./verify.ts")).verifyCommand(token ?? "", flags),
    },
    {
      name: "generate",
      summary: "write a new signing key",
      text:
        "Writes a random secret (hmac), which signs and verifies, or a private key and beside it, in FILE.pub, the public one " +
        "(ed25519), which only verifies: all that sidecars need. Never overwrites a file.",
      flags: [
        { ...algorithmFlag, required: true },
        { flags: "--out <file>", text: "where to; readable for you alone", required: true, completes: "file" },
      ],
      examples: [
        { line: "sidelane key generate --algorithm hmac --out k1.secret", text: "one secret for both sides" },
        { line: "sidelane key generate --algorithm ed25519 --out k1.key", text: "k1.key signs, k1.key.pub verifies" },
      ],
      run: async (_, flags) => (await import("./generate.ts")).generateCommand(flags),
    },
  ],
};
