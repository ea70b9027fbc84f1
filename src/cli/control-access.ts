import type { ControlAccess } from "../client/access.ts";
import { RefusedError } from "../base/refused-error.ts";
import { formatEndpoint, parseEndpoint } from "../routing/endpoint-name.ts";
import { MisuseError } from "./command.ts";
import type { Flag, FlagValues } from "./command.ts";
import { readFile } from "./read-file.ts";

/** `api.address` of a control plane whose config does not say otherwise. */
const DEFAULT_URL = "http://127.0.0.1:15020";

const urlFlag: Flag = {
  flags: "--control <url>",
  text: `API of the control plane, as URL or host:port, or of its replicas with commas between; default: ${DEFAULT_URL}`,
  env: "SIDELANE_CONTROL",
};

const credentialFlags: readonly Flag[] = [
  {
    flags: "--token-file <file>",
    text: "file with the token that says who you are; SIDELANE_TOKEN is the token itself",
    env: "SIDELANE_TOKEN_FILE",
    completes: "file",
  },
  {
    flags: "--ca <file>",
    text: "PEM file of the authority that signed the control plane's certificate, besides the system's",
    env: "SIDELANE_CA",
    completes: "file",
  },
  {
    flags: "--client-certificate <file>",
    text: "PEM file with your certificate, where the control plane wants one",
    env: "SIDELANE_CLIENT_CERTIFICATE",
    completes: "file",
  },
  {
    flags: "--client-key <file>",
    text: "PEM file with the private key of that certificate",
    env: "SIDELANE_CLIENT_KEY",
    completes: "file",
  },
];

/** Of commands that always ask the control plane. */
export const controlFlags: readonly Flag[] = [urlFlag, ...credentialFlags];

/** Of commands that ask it when they are told to: `--control` alone asks the one of the environment. */
export const optionalControlFlags: readonly Flag[] = [
  {
    flags: "--control [url]",
    text: "ask the control plane: this one, else that of SIDELANE_CONTROL, else the one of this machine",
  },
  ...credentialFlags,
];

/** Reads the flags above; throws a `MisuseError` or `RefusedError` that says what to write. */
export function controlAccess(
  flags: FlagValues,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): ControlAccess {
  // commander fills the flag from the environment, and says nothing of it here.
  const variable = environment["SIDELANE_CONTROL"] || undefined;
  const isUnset = flags["control"] === "" && environment["SIDELANE_CONTROL"] === "";
  const given = typeof flags["control"] === "string" && !isUnset ? flags["control"] : undefined;
  const text = given ?? variable ?? DEFAULT_URL;
  const from = text === variable ? "SIDELANE_CONTROL" : given === undefined ? "default" : "--control";
  const file = (name: string): Buffer | undefined => {
    const path = flags[name];
    return typeof path === "string" && path !== "" ? readFile(path) : undefined;
  };
  const [first = "", ...others] = text.split(",").filter((url) => url.trim() !== "");
  const shared = {
    from,
    token: readToken(flags, environment),
    ca: file("ca"),
    certificate: file("clientCertificate"),
    certificateKey: file("clientKey"),
  } as const;
  const accessTo = (url: string, next: ControlAccess | undefined): ControlAccess => ({
    url: parseUrl(url.trim(), from),
    next,
    ...shared,
  });
  return accessTo(
    first,
    others.reduceRight<ControlAccess | undefined>((next, url) => accessTo(url, next), undefined),
  );
}

function parseUrl(text: string, from: string): string {
  const wrong = (what: string): MisuseError =>
    new MisuseError(`error: ${from} '${text}' ${what}, write it as ${DEFAULT_URL}`);
  if (/^[a-z][a-z+.-]*:\/\//iu.test(text)) {
    const url = URL.parse(text);
    if (url === null || !/^https?:$/u.test(url.protocol)) throw wrong("is no http or https URL");
    if (url.username !== "" || url.password !== "") {
      throw wrong("has credentials in it, which end up in logs: use SIDELANE_TOKEN or --token-file");
    }
    if (url.search !== "" || url.hash !== "") throw wrong("has more than host and path");
    return `${url.origin}${url.pathname}`.replace(/\/+$/u, "");
  }
  const endpoint = parseEndpoint(text);
  if ("problem" in endpoint) throw wrong(`is no address: ${endpoint.problem}`);
  return `http://${formatEndpoint(endpoint)}`;
}

/** A flag or variable that names a file goes before the variable with the token: it was written for this command. */
function readToken(flags: FlagValues, environment: Readonly<Record<string, string | undefined>>): string | undefined {
  const file = flags["tokenFile"];
  if (typeof file !== "string" || file === "") return environment["SIDELANE_TOKEN"] || undefined;
  const token = readFile(file).toString("utf8").trim();
  if (token === "") throw new RefusedError(`${file}: is empty, it has to hold the token`);
  if (/[^\x21-\x7e]/u.test(token)) throw new RefusedError(`${file}: holds more than a token, which is one word`);
  return token;
}
