// What people write about services, sandboxes and groups: the shape of requests to the API, from which the OpenAPI document is
// made. What a resource says about others is checked in src/control/plans.ts, the spelling of names, keys, hosts and endpoints in
// src/routing/validate.ts.

import { z } from "zod";
import { endpointsSchema } from "../../config/table-schema.ts";
import { ttlMs, TTL_PATTERN } from "./duration.ts";

const LABELS_MAX = 64;
const LABEL_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?$/u;
const LABEL_VALUE = /^[^\p{C}\p{Zl}\p{Zp}]{0,128}$/u;

const labels = z
  .record(z.string(), z.string())
  .superRefine((value, context) => {
    const entries = Object.entries(value);
    if (entries.length > LABELS_MAX) {
      context.addIssue({
        code: "custom",
        message: `there are ${entries.length} labels, at most ${LABELS_MAX} are kept`,
      });
    }
    for (const [name, text] of entries.slice(0, LABELS_MAX)) {
      if (!LABEL_NAME.test(name)) {
        const message = `${JSON.stringify(name.slice(0, 200))} cannot be the name of a label: write up to 128 letters, digits and ._/-, with a letter or digit at both ends`;
        context.addIssue({ code: "custom", path: [name], message });
      }
      if (!LABEL_VALUE.test(text)) {
        const message = "a label has up to 128 printable characters";
        context.addIssue({ code: "custom", path: [name], message });
      }
    }
  })
  .meta({ examples: [{ team: "shop", branch: "cart-rounding" }] });

const described = {
  labels: labels.default({}).describe("For selecting: groups and lists find sandboxes by them."),
  owner: z
    .string()
    .max(128, "an owner has at most 128 characters")
    .default("")
    .describe("Whom to ask about it.")
    .meta({ examples: ["dana"] }),
  description: z
    .string()
    .max(2048, "a description has at most 2048 characters")
    .default("")
    .describe("For people.")
    .meta({ examples: ["rounds cart totals up"] }),
};

const key = (what: string) =>
  z
    .string()
    .optional()
    .describe(`The routing key that selects the ${what}. Default: its name.`)
    .meta({ examples: ["pr-7"] });

/** Fields of a service. */
export const serviceSpecSchema = z
  .strictObject({
    hosts: z
      .array(z.string())
      .min(1, "a service needs at least one host; leave `hosts` out to use its name")
      .optional()
      .describe("How callers name the service in Host or :authority, without port. Default: its name.")
      .meta({ examples: [["checkout", "checkout.shop.svc.cluster.local"]] }),
    ports: z
      .record(z.string(), z.int().min(1).max(65_535))
      .optional()
      .describe("Port names and numbers, for a service with several.")
      .meta({ examples: [{ http: 8080, grpc: 9090 }] }),
    baseline: endpointsSchema.optional().describe("The shared instances; used by outbound listeners."),
    probe: z
      .strictObject({
        protocol: z
          .enum(["auto", "http1", "http2", "grpc", "tcp", "none"])
          .default("auto")
          .describe("What is spoken. `grpc`: grpc.health.v1; `tcp`: connect only; `none`: sandboxes are not asked.")
          .meta({ examples: ["http1"] }),
        path: z
          .string()
          .max(2048, "a path has at most 2048 characters")
          .regex(
            /^\/[\x21-\x7e]*$|^[A-Za-z0-9._-]*$/u,
            "a path begins with / and has no spaces; with grpc it is the name of a service",
          )
          .default("/")
          .describe("Target of the request; with `grpc` the service that is asked about.")
          .meta({ examples: ["/health"] }),
      })
      .optional()
      .describe("How a sandbox is asked whether it answers for this service. Default: GET /.")
      .meta({ examples: [{ protocol: "http1", path: "/health" }] }),
    ...described,
  })
  .describe("A service that others call.");

/** Fields of a sandbox that people write. */
export const sandboxSpecSchema = z
  .strictObject({
    key: key("sandbox"),
    strict: z
      .boolean()
      .optional()
      .describe("Whether each of its services has to answer itself: what would fall back to the baseline is refused.")
      .meta({ examples: [true] }),
    services: z
      .record(z.string(), endpointsSchema)
      .default({})
      .describe("The changed services with the sandbox's own endpoints.")
      .meta({ examples: [{ checkout: ["10.0.0.7:8080"] }] }),
    ttl: z
      .string()
      .regex(TTL_PATTERN, "a ttl is a number and s, m, h, d or w: write 30m, 4h or 7d")
      .refine((text) => ttlMs(text) !== undefined, "a ttl is at most ten years; leave it out for a sandbox that stays")
      .optional()
      .describe("Time after which the sandbox is deleted. Absent: it stays.")
      .meta({ examples: ["4h"] }),
    ttlFrom: z
      .enum(["creation", "traffic"])
      .optional()
      .describe("What the ttl counts from: its creation (default) or its last request.")
      .meta({ examples: ["traffic"] }),
    whenDisconnected: z
      .enum(["fall-back", "unavailable"])
      .optional()
      .describe(
        "What becomes of a service whose developer's machine is gone. `fall-back` (default): its endpoints in `services` answer, or the baseline. `unavailable`: nobody does until the machine is back.",
      )
      .meta({ examples: ["unavailable"] }),
    ...described,
  })
  .describe("A named set of changed services.");

/** Values of one label in a match. */
const VALUES_MAX = 64;

const wanted = z
  .record(
    z.string(),
    z.union([
      z.string(),
      z
        .array(z.string())
        .min(1, "a list of values must not be empty")
        .max(VALUES_MAX, `a label is compared with ${VALUES_MAX} values at most`),
    ]),
  )
  .superRefine((value, context) => {
    const entries = Object.entries(value);
    if (entries.length > LABELS_MAX) {
      context.addIssue({ code: "custom", path: [], message: `a match has at most ${LABELS_MAX} labels` });
    }
  })
  .meta({ examples: [{ team: "shop", stage: ["review", "ready"] }] });

const match = z
  .strictObject({
    all: wanted.optional().describe("All of these labels; of several values of one label, any."),
    any: wanted.optional().describe("At least one of these labels."),
  })
  .refine(({ all, any }) => Object.keys(all ?? {}).length + Object.keys(any ?? {}).length > 0, {
    message: "a match without labels would take nothing: write all: { team: shop }",
  })
  .describe("Sandboxes that have these labels, as they come and go; in order of their names.")
  .meta({ examples: [{ all: { release: "42" } }] });

/** Fields of a group. */
export const groupSpecSchema = z
  .strictObject({
    key: key("group"),
    sandboxes: z
      .array(z.string())
      .optional()
      .describe("Names of sandboxes; the first that has the service wins. Either this or `match`.")
      .meta({ examples: [["pr-7", "pr-9"]] }),
    match: match.optional(),
    ...described,
  })
  .superRefine((group, context) => {
    const { sandboxes, match: labelled } = group;
    if (sandboxes === undefined && labelled === undefined) {
      const message =
        "a group has sandboxes or a match: write sandboxes: [pr-7, pr-9], or match: { all: { release: 42 } }";
      context.addIssue({ code: "custom", path: [], message });
    } else if (sandboxes !== undefined && labelled !== undefined) {
      const message = "a group has sandboxes or a match, not both: remove one";
      context.addIssue({ code: "custom", path: ["match"], message });
    }
  })
  .describe("Sandboxes that one key selects together.");

/** The shape of each kind. */
export const specSchemas = {
  service: serviceSpecSchema,
  sandbox: sandboxSpecSchema,
  group: groupSpecSchema,
} as const;
