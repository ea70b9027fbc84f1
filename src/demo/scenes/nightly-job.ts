import { compare, giftWrapped, plain } from "../expected.ts";
import type { Expected } from "../expected.ts";
import { readOrder } from "../order.ts";
import type { Shop } from "../shop.ts";
import type { Stage } from "../stage.ts";
import type { Scene } from "./scene.ts";

/** A whole workload in a sandbox: nothing comes in, so its sidecar says whose it is. */
export const nightlyJob: Scene = {
  name: "nightly-job",
  title: "a nightly job orders: no request comes in, so there is no key to pass on",
  async play(shop, stage) {
    await run(shop, stage, "baseline", plain, "the job as it always ran: the baseline of every service");
    const why = "the same job behind a sidecar with `tenancy.stamp: pr-7`: what leaves it without a key gets this one";
    await run(shop, stage, "pr-7", giftWrapped, why);
  },
};

async function run(shop: Shop, stage: Stage, instance: string, expected: Expected, why: string): Promise<void> {
  const { status, body } = await shop.nightly(instance);
  const result = readOrder(Number(status), String(body), "");
  stage.order(`nightly (${instance})`, result, compare({ ...expected, decision: "" }, result), why);
}
