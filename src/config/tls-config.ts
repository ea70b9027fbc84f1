// The parts of the proxy config that concern TLS: what a listener offers its clients, what a service's endpoints are asked for.
// What one field says about another is checked in check-tls.ts, what the files hold in check-tls-files.ts.

import { z } from "zod";

/** TLS on a listener: clients connect with it. Paths are absolute. */
export interface ListenerTlsConfig {
  /** PEM: the certificate, then those of the authorities between it and the root. */
  readonly certificate: string;
  /** PEM, without a passphrase. */
  readonly key: string;
  /** Whether clients show certificates. With `optional` one that is shown is verified all the same. */
  readonly clientCertificates: "none" | "optional" | "required";
  /** PEM: the authorities that clients' certificates must come from. Present unless `clientCertificates` is `none`. */
  readonly ca?: string;
  readonly minVersion: TlsVersion;
  /** What becomes of clients that begin without TLS. */
  readonly plaintext: "refuse" | "allow";
}

/** TLS to the endpoints of one service: baseline, sandboxes, and the app when the service is the config's own. */
export interface UpstreamTlsConfig {
  /** PEM: the authorities that endpoints' certificates must come from. Absent: those that Node knows. */
  readonly ca?: string;
  /** Name asked for (SNI) and verified. Absent: the endpoint's host if it is a name, else the service's name. */
  readonly serverName?: string;
  /** Shown to endpoints that ask for one; PEM. Present together with `key`. */
  readonly certificate?: string;
  readonly key?: string;
  /** False: whoever answers is believed. */
  readonly verify: boolean;
}

export type TlsVersion = "TLSv1.2" | "TLSv1.3";

const path = (description: string, example: string) =>
  z
    .string()
    .min(1, "write a path")
    .describe(description)
    .meta({ examples: [example] });

/** `tls` of a listener. */
export const listenerTlsSchema = z
  .strictObject({
    certificate: path(
      "Path of the certificate, relative to this file: PEM, followed by the intermediate ones. Reloaded when it changes.",
      "/etc/sidelane/tls/tls.crt",
    ),
    key: path("Path of its private key: PEM, without a passphrase.", "/etc/sidelane/tls/tls.key"),
    clientCertificates: z
      .enum(["none", "optional", "required"])
      .default("none")
      .describe("Whether clients have to show a certificate; one that is shown must be good in any case.")
      .meta({ examples: ["required"] }),
    ca: path(
      "Path of the authorities that clients' certificates come from: PEM. Required unless `clientCertificates` is `none`.",
      "/etc/sidelane/tls/ca.crt",
    ).optional(),
    minVersion: z
      .enum(["TLSv1.2", "TLSv1.3"])
      .default("TLSv1.2")
      .describe("Lowest version of TLS that is spoken.")
      .meta({ examples: ["TLSv1.3"] }),
    plaintext: z
      .enum(["refuse", "allow"])
      .default("refuse")
      .describe("With `protocol: auto`: what becomes of clients that begin without TLS.")
      .meta({ examples: ["refuse"] }),
  })
  .describe("Clients connect with TLS; without this field they do not.")
  .meta({ examples: [{ certificate: "/etc/sidelane/tls/tls.crt", key: "/etc/sidelane/tls/tls.key" }] });

/** One entry of `upstreamTls`. */
export const upstreamTlsSchema = z
  .strictObject({
    ca: path(
      "Path of the authorities that the endpoints' certificates come from: PEM. Default: the public ones that Node knows.",
      "/etc/sidelane/tls/ca.crt",
    ).optional(),
    serverName: z
      .string()
      .optional()
      .describe(
        "Name that endpoints are asked for (SNI) and have to prove. Default: the endpoint's host if it is a name, else the service's name.",
      )
      .meta({ examples: ["ledger.shop.svc.cluster.local"] }),
    certificate: path(
      "Path of the certificate that is shown to endpoints that ask for one: PEM.",
      "/etc/sidelane/tls/tls.crt",
    ).optional(),
    key: path("Path of its private key: PEM, without a passphrase.", "/etc/sidelane/tls/tls.key").optional(),
    verify: z
      .boolean()
      .default(true)
      .describe("`false` believes whoever answers: for a test, never for a network that others are on.")
      .meta({ examples: [true] }),
  })
  .describe("TLS to the endpoints of one service.")
  .meta({ examples: [{ ca: "/etc/sidelane/tls/ca.crt" }] });
