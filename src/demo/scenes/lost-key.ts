import { baseline, compare, plain } from "../expected.ts";
import type { Expected } from "../expected.ts";
import { order } from "../order.ts";
import type { Instance } from "../shop.ts";
import type { Stage } from "../stage.ts";
import { newTrace } from "./scene.ts";
import type { Scene } from "./scene.ts";

/** What checkout alone answers, without front and recommend. */
const atTheTill: Expected = {
  ...plain,
  route: { ...baseline, front: "", recommend: "" },
  recommended: "",
  decision: "till=baseline;reason=not-in-sandbox",
};

/** A service that drops the key: found, then repaired. */
export const lostKey: Scene = {
  name: "lost-key",
  title: "an old till passes traceparent on, but no baggage: the key is lost on the way to checkout",
  async play(shop, stage) {
    const reported = shop.find("till", "reported");
    const restored = shop.find("till", "restored");
    await buy(stage, reported, atTheTill, "the baseline answers in place of pr-7, and nobody would know");
    await checkReports(stage, reported);
    await buy(
      stage,
      restored,
      { ...atTheTill, route: { ...atTheTill.route, checkout: "pr-7" }, giftWrap: true },
      "the same till behind a sidecar with `tenancy.repair: restore`: the trace came in with a key, and gets it back",
    );
  },
};

async function buy(stage: Stage, { plan, listeners }: Instance, expected: Expected, why: string): Promise<void> {
  const result = await order(listeners["inbound"] ?? "", { baggage: "sidelane=pr-7", ...newTrace().headers });
  stage.order(`sidelane=pr-7, till ${plan.instance}`, result, compare(expected, result), why);
}

/** Its sidecar saw both sides, and says so in three places. */
async function checkReports(stage: Stage, { admin, sidecar }: Instance): Promise<void> {
  const [lostKeys, metrics, line] = await Promise.all([
    fetch(`http://${admin}/lost-keys`).then((answer) => answer.json() as Promise<LostKeys>),
    fetch(`http://${admin}/metrics`).then((answer) => answer.text()),
    sidecar.says("loses the routing key"),
  ]);
  const { service, towards, example } = lostKeys.lost[0] ?? {};
  stage.check(
    service === "till" && towards === "checkout" && example?.key === "pr-7",
    `GET /lost-keys: ${service} loses it towards ${towards}, last seen with key ${example?.key}`,
  );
  const [counted = "no sidelane_lost_keys_total"] = /^sidelane_lost_keys_total\{.*\} \d+$/mu.exec(metrics) ?? [];
  stage.check(/service="till",peer="checkout",outcome="reported"\} [1-9]/u.test(counted), `GET /metrics: ${counted}`);
  const { message } = JSON.parse(line) as { readonly message: string };
  stage.check(message.startsWith("till loses the routing key on the way to checkout"), `its log: ${message}`);
}

interface LostKeys {
  readonly lost: readonly {
    readonly service: string;
    readonly towards: string;
    readonly example: { readonly key: string };
  }[];
}
