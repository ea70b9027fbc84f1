import { z } from "zod";
import type { LimitInfo } from "../base/limits.ts";

/** A section of whole numbers: each with the default, the range and the description of its table. */
export function numbers<T extends Record<string, LimitInfo>>(infos: T) {
  type Shape = { [name in keyof T]: z.ZodDefault<z.ZodInt> };
  const shape = Object.entries(infos).map(([name, info]) => {
    const schema = z.int().min(info.min).max(info.max).default(info.default);
    return [name, schema.describe(info.doc).meta({ examples: [info.default] })];
  });
  return z.strictObject(Object.fromEntries(shape) as Shape);
}
