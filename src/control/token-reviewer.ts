import type { KubeClient } from "../kube/client.ts";
import type { TokenReviewer } from "./kubernetes-tokens.ts";

/** Until somebody who waits to be let in hears that nobody can say who they are. */
const WITHIN_MS = 4000;

interface TokenReview {
  readonly status?: {
    readonly authenticated?: boolean;
    readonly user?: { readonly username?: string };
    readonly audiences?: readonly string[];
    readonly error?: string;
  };
}

/** Asks the API server: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/ */
export function tokenReviewer(client: KubeClient): TokenReviewer {
  const path = "/apis/authentication.k8s.io/v1/tokenreviews";
  return async (token, audience) => {
    const body = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      spec: { token, audiences: [audience] },
    };
    const { status = {} } = await client.request<TokenReview>({ method: "POST", path, body, withinMs: WITHIN_MS });
    // An authenticator that knows nothing of audiences names none: its tokens are the API server's, and not meant for here.
    const meant = status.audiences?.includes(audience) === true;
    const name = status.user?.username ?? "";
    return status.authenticated === true && meant && name !== "" ? { name } : undefined;
  };
}
