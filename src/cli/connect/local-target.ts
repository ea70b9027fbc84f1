import { formatEndpoint, parseEndpoint } from "../../routing/endpoint-name.ts";
import { checkName } from "../../routing/names.ts";
import { targetText } from "../../control/connect/wire.ts";
import type { Target } from "../../control/connect/wire.ts";
import { MisuseError } from "../command.ts";

/** A port of a service, and the app on this machine that answers for it. */
export interface LocalTarget {
  readonly target: Target;
  /** `checkout`, `ledger:grpc` */
  readonly name: string;
  /** `localhost:3000` */
  readonly address: string;
  readonly host: string;
  readonly port: number;
}

/** Reads `checkout=localhost:3000`, `ledger:grpc=9090`; throws a `MisuseError` that says what to write. */
export function parseLocalTargets(texts: readonly string[]): readonly LocalTarget[] {
  const targets = texts.map(parseLocalTarget);
  for (const [index, { name }] of targets.entries()) {
    if (targets.findIndex((other) => other.name === name) === index) continue;
    throw new MisuseError(`error: --service ${name} is given twice, and one app answers for it`);
  }
  return targets;
}

function parseLocalTarget(text: string): LocalTarget {
  const wrong = (what: string): MisuseError =>
    new MisuseError(
      `error: --service '${text}': ${what}, write it as checkout=localhost:3000 or ledger:grpc=localhost:9090`,
    );
  const at = text.indexOf("=");
  if (at === -1) throw wrong("the address of the app on this machine is missing");
  const [service = "", port = "", ...more] = text.slice(0, at).split(":");
  const malformed = checkName(service) ?? (text.slice(0, at).includes(":") ? checkName(port) : undefined);
  if (malformed !== undefined || more.length > 0) {
    throw wrong(malformed?.problem ?? "there is more than a service and its port before '='");
  }
  const local = text.slice(at + 1);
  const endpoint = parseEndpoint(/^\d+$/u.test(local) ? `localhost:${local}` : local);
  if ("problem" in endpoint) throw wrong(endpoint.problem);
  const target = { service, port };
  return {
    target,
    name: targetText(target),
    address: formatEndpoint(endpoint),
    host: endpoint.host,
    port: endpoint.port,
  };
}
