// The table that sidecars of a control plane get, as it is now.

import { RefusedError } from "../base/refused-error.ts";
import { z } from "zod";
import type { TableDocument } from "../routing/document.ts";
import { validate } from "../routing/validate.ts";
import type { ControlClient } from "./client.ts";

/** What was fetched. */
export interface ControlTable {
  readonly document: TableDocument;
  /** Of the whole; 0 when the answer does not say. */
  readonly revision: number;
}

const endpoints = z.union([z.array(z.string()), z.record(z.string(), z.array(z.string()))]);

/** As a table file, but that a group may have no sandboxes: those that match its labels may all be gone. */
const answered = z.object({
  services: z.record(
    z.string(),
    z.object({
      hosts: z.array(z.string()).optional(),
      ports: z.record(z.string(), z.number()).optional(),
      baseline: endpoints.optional(),
    }),
  ),
  sandboxes: z.record(
    z.string(),
    z.object({ key: z.string().optional(), strict: z.boolean().optional(), services: z.record(z.string(), endpoints) }),
  ),
  groups: z.record(z.string(), z.object({ key: z.string().optional(), sandboxes: z.array(z.string()) })),
});

/** Fetches it whole; a `RefusedError` where that cannot be. */
export async function controlTable(client: ControlClient): Promise<ControlTable> {
  const { value, headers } = await client.readWithHead("/v1/table");
  const fields = (typeof value === "object" && value !== null ? value : {}) as Readonly<Record<string, unknown>>;
  const parsed = answered.safeParse(fields["table"] ?? fields["document"] ?? value);
  const document = parsed.success ? parsed.data : undefined;
  const problems = document === undefined ? [] : validate(document).problems;
  if (document === undefined || problems.length > 0) {
    const why = problems[0]?.message ?? "it is no table";
    throw new RefusedError(
      `the table of ${client.access.url} cannot be used: ${why}; is it a control plane of this version?`,
    );
  }
  const tag = /^(?:W\/)?"(\d+)"$/u.exec(headers["etag"] ?? "")?.[1];
  return { document, revision: Number(fields["revision"] ?? headers["x-sidelane-revision"] ?? tag ?? 0) };
}
