import type { Log } from "../base/log.ts";
import type { KubeClient } from "../kube/client.ts";
import type { EventRecorder } from "../kube/event-recorder.ts";
import type { WorkQueue } from "../kube/work-queue.ts";
import type { Cluster } from "./cluster.ts";
import type { ControlPlane } from "./control-plane.ts";
import type { KeyClaims } from "./key-claims.ts";

/** What every reconciler works with. */
export interface OperatorContext {
  readonly kube: KubeClient;
  readonly cluster: Cluster;
  readonly control: ControlPlane;
  readonly events: EventRecorder;
  readonly claims: KeyClaims;
  readonly log: Log;
  /** Where Sidelane itself runs. */
  readonly ownNamespace: string;
  /** `cluster.local` */
  readonly clusterDomain: string;
  /** Keys are `namespace/name`. */
  readonly queues: Readonly<Record<"sandboxes" | "groups", Pick<WorkQueue, "add">>>;
}
