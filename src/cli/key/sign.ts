import { RefusedError } from "../../base/refused-error.ts";
import { TOKEN_BYTES_MAX, signKey } from "../../protocol/signed-key/sign-key.ts";
import type { SigningAlgorithm } from "../../protocol/signed-key/signing-key.ts";
import { checkKey } from "../../routing/names.ts";
import { MisuseError } from "../command.ts";
import type { ExitCode, FlagValues } from "../command.ts";
import { parseDuration } from "../duration.ts";
import { readKeyFile } from "./key-file.ts";

/** `sidelane key sign`: prints a signed key, and a link with it. `nowMs`: since the epoch. */
export function signCommand(flags: FlagValues, nowMs: number = Date.now()): ExitCode {
  const key = String(flags["sandbox"]);
  const malformed = checkKey(key);
  if (malformed !== undefined) {
    throw new MisuseError(`error: --sandbox '${key}': ${malformed.problem}, ${malformed.hint}`);
  }
  const seconds = parseDuration(String(flags["expires"]), "--expires", "7d");
  const url = flags["url"] as string | undefined;
  if (url !== undefined) checkLink(url);
  const id = (flags["id"] as string | undefined) ?? "k1";
  if (id === "") throw new MisuseError("error: --id is empty, write the id that 'tenancy.edge.signedBy' has, as in k1");
  const file = String(flags["key"]);
  const by = readKeyFile(id, flags["algorithm"] as SigningAlgorithm | undefined, file);
  if (!by.canSign) throw new RefusedError(`${file}: is a public key, which only verifies, name the private one`);

  const token = signKey({ key, expiresAtSeconds: Math.floor(nowMs / 1000) + seconds, by });
  if (token.length > TOKEN_BYTES_MAX) {
    const problem = `the signed key would have ${token.length} bytes, and ${TOKEN_BYTES_MAX} are accepted`;
    throw new RefusedError(`${problem}, shorten --sandbox or --id`);
  }
  process.stdout.write(url === undefined ? `${token}\n` : `${token}\n${url.replaceAll(PLACE, token)}\n`);
  return 0;
}

const PLACE = "{key}";

/** The signed key has to arrive as it is: servers get no fragment, and hosts and paths are not read. */
function checkLink(url: string): void {
  const written = url.replaceAll(PLACE, "SIGNED.key");
  const parsed = URL.parse(written);
  const example = "write it as in 'https://shop.example.com/?sidelane={key}'";
  if (parsed === null || !/^https?:$/u.test(parsed.protocol)) {
    throw new MisuseError(`error: --url '${url}' is no URL of a page, ${example}`);
  }
  if (!url.includes(PLACE)) throw new MisuseError(`error: --url '${url}' has no place for the key, ${example}`);
  if (parsed.search.split("=SIGNED.key").length !== url.split(PLACE).length) {
    throw new MisuseError(`error: --url '${url}' has {key} in a place that is not read, ${example}`);
  }
}
