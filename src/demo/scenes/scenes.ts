import { expectation } from "./expectation.ts";
import { lostKey } from "./lost-key.ts";
import { nightlyJob } from "./nightly-job.ts";
import type { Scene } from "./scene.ts";
import { shareLink } from "./share-link.ts";
import { tracedOrder } from "./traced-order.ts";

/** All scenes, in the order of the scenario. */
export const scenes: readonly Scene[] = [nightlyJob, lostKey, expectation, shareLink, tracedOrder];
