import { z } from "zod";

/** `log:` of a config whose process log can say more or less. */
export const logSchema = z
  .strictObject({
    level: z
      .enum(["debug", "info", "warn", "error"])
      .default("info")
      .describe("Least severity that is written.")
      .meta({ examples: ["debug"] }),
  })
  .prefault({})
  .describe("The process log: JSON lines on standard error.");
