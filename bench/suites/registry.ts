import { bodies } from "./bodies.ts";
import { grpc } from "./grpc.ts";
import { http1 } from "./http1.ts";
import { http2 } from "./http2.ts";
import type { Suite } from "./suite.ts";
import { websocket } from "./websocket.ts";

/** In the order in which they run. */
export const suiteNames = ["http1", "http2", "grpc", "bodies", "websocket"] as const;
export type SuiteName = (typeof suiteNames)[number];

export const suites: { readonly [name in SuiteName]: Suite } = { http1, http2, grpc, bodies, websocket };
