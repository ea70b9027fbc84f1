import { compare, refused, release42 } from "../expected.ts";
import { order } from "../order.ts";
import type { Scene } from "./scene.ts";

const REQUIRE = "require=checkout+pricing";

/** A test that says which services must not be the baseline's. */
export const expectation: Scene = {
  name: "expectation",
  title: `a test that is content with nothing less: baggage: sidelane=KEY;${REQUIRE}`,
  async play(shop, stage) {
    const alone = await order(shop.entrance, { baggage: `sidelane=pr-7;${REQUIRE}` });
    const differences = compare({ ...refused, status: 424, reason: "expectation-failed" }, alone);
    const [sentence = ""] = alone.detail.split("; ", 1); // behind it is the advice
    stage.order("pr-7;require=...", alone, differences, sentence);

    const both = await order(shop.entrance, { baggage: `sidelane=release-42;${REQUIRE}` });
    const why = "pr-7 has no pricing; the group has both, and each was answered by its sandbox";
    stage.order("release-42;require=...", both, compare(release42, both), why);
  },
};
