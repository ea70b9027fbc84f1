// `tenancy` of the proxy config: the shape of the file. What one field says about another is checked in check-tenancy.ts.

import { z } from "zod";
import { signingAlgorithms } from "../protocol/signed-key/signing-key.ts";
import { aliasNames } from "./aliases.ts";

const carrier = z
  .strictObject({
    baggage: z
      .string()
      .optional()
      .describe("Key of a member of the `baggage` header (W3C Baggage); exact, parsed, case-sensitive.")
      .meta({ examples: ["sidelane"] }),
    tracestate: z
      .string()
      .optional()
      .describe("Key of a member of the `tracestate` header (W3C Trace Context).")
      .meta({ examples: ["sidelane"] }),
    header: z
      .string()
      .optional()
      .describe("Name of a header whose whole value is the routing key.")
      .meta({ examples: ["x-sandbox"] }),
    host: z
      .string()
      .optional()
      .describe(
        "Pattern of the host: `{key}` stands for the routing key, `*` for the host by which the services know themselves.",
      )
      .meta({ examples: ["{key}--*"] }),
    query: z
      .string()
      .optional()
      .describe("Name of a query parameter whose value is the routing key.")
      .meta({ examples: ["sidelane"] }),
    cookie: z
      .string()
      .optional()
      .describe("Name of a cookie whose value is the routing key.")
      .meta({ examples: ["sidelane"] }),
    alias: z
      .string()
      .optional()
      .describe(`Name of a system, for all members and headers in which it carries its keys: ${aliasNames.join(", ")}.`)
      .meta({ examples: [...aliasNames] }),
    remember: z
      .string()
      .optional()
      .describe(
        "With `query` only: the answer sets a cookie of this name, so that the next click stays in the sandbox. List that cookie as a carrier, too.",
      )
      .meta({ examples: ["sidelane"] }),
    propagate: z
      .boolean()
      .optional()
      .describe(
        "Whether a key from here is written into baggage for the services behind. Default: true for host, query, cookie and alias, else false.",
      )
      .meta({ examples: [false] }),
  })
  .describe("One place where a routing key may be.")
  .meta({ examples: [{ baggage: "sidelane" }] });

const signingKey = z
  .strictObject({
    id: z
      .string()
      .describe("Name of the key; signed routing keys say by it which one signed them.")
      .meta({ examples: ["k1"] }),
    algorithm: z
      .enum(signingAlgorithms)
      .describe(
        "`hmac`: a shared secret (HMAC-SHA256). `ed25519`: a key pair, of which only the public half is needed here.",
      )
      .meta({ examples: ["hmac"] }),
    file: z
      .string()
      .min(1, "write a path")
      .describe("Path, relative to this file: the secret, at least 32 bytes, or the public key in PEM.")
      .meta({ examples: ["./k1.secret"] }),
  })
  .describe("A key by which signed routing keys are verified.")
  .meta({ examples: [{ id: "k1", algorithm: "hmac", file: "./k1.secret" }] });

const edge = z
  .strictObject({
    carriers: z
      .array(carrier)
      .default([])
      .describe("Where anybody may put a routing key, written as in `tenancy.carriers`. Default: nowhere.")
      .meta({ examples: [[{ query: "sidelane" }]] }),
    callers: z
      .array(
        z
          .string()
          .describe("Address or range of addresses (CIDR) of callers for which all of `tenancy.carriers` count, too.")
          .meta({ examples: ["10.0.0.0/8"] }),
      )
      .default([])
      .describe("Callers for which all of `tenancy.carriers` count, too.")
      .meta({ examples: [["10.0.0.0/8"]] }),
    signedBy: z
      .array(signingKey)
      .default([])
      .describe("With an entry, keys from `tenancy.edge.carriers` count only when one of these signed them.")
      .meta({ examples: [[{ id: "k1", algorithm: "hmac", file: "./k1.secret" }]] }),
  })
  .prefault({})
  .describe("Whom the listeners with `edge: true` trust.")
  .meta({ examples: [{ carriers: [{ query: "sidelane" }] }] });

/** Shape of `tenancy`. */
export const tenancySchema = z
  .strictObject({
    carriers: z
      .array(carrier)
      .min(1, "without a carrier no request has a key; leave it out for the default")
      .default([{ baggage: "sidelane" }])
      .describe("Where routing keys are looked for; the first that yields one wins."),
    onUnknownKey: z
      .enum(["baseline", "reject"])
      .default("baseline")
      .describe("A key that no sandbox or group has: to the baseline, or answered with 421 (`unknown-key`).")
      .meta({ examples: ["reject"] }),
    onUnavailable: z
      .enum(["fail", "baseline"])
      .default("fail")
      .describe("A sandbox that cannot be reached: answered with 503 (`sandbox-unavailable`), or to the baseline.")
      .meta({ examples: ["baseline"] }),
    stamp: z
      .string()
      .optional()
      .describe("Routing key that outbound requests without one are given: the whole workload belongs to a sandbox.")
      .meta({ examples: ["pr-7"] }),
    repair: z
      .enum(["off", "report", "restore"])
      .default("report")
      .describe(
        "Outbound requests without the key with which their trace came in: not looked for, reported (`/lost-keys`, metric, log), or given it back.",
      )
      .meta({ examples: ["restore"] }),
    edge,
  })
  .prefault({})
  .describe("How requests are told apart.");

/** One entry of a list of carriers, as the file has it. */
export type CarrierDocument = z.output<typeof carrier>;
