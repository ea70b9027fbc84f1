// The interop test cases of gRPC (github.com/grpc/grpc, doc/interop-test-descriptions.md), by their official names.

/** What is known about a case before it runs. */
export interface InteropCase {
  readonly name: string;
  /** `grpc-status` of its calls as their caller sees them, in ascending order. */
  readonly statuses: readonly number[];
  /** The client may give up before anything has left it, so that no server need have seen the call. */
  readonly mayNotArrive?: boolean;
}

/** Every case that both clients and both servers have. */
export const interopCases: readonly InteropCase[] = [
  { name: "empty_unary", statuses: [0] },
  { name: "large_unary", statuses: [0] },
  { name: "client_streaming", statuses: [0] },
  { name: "server_streaming", statuses: [0] },
  { name: "ping_pong", statuses: [0] },
  { name: "empty_stream", statuses: [0] },
  { name: "timeout_on_sleeping_server", statuses: [4], mayNotArrive: true },
  { name: "cancel_after_begin", statuses: [1], mayNotArrive: true },
  { name: "cancel_after_first_response", statuses: [1] },
  { name: "status_code_and_message", statuses: [2, 2] },
  { name: "special_status_message", statuses: [2] },
  { name: "custom_metadata", statuses: [0, 0] },
  { name: "unimplemented_method", statuses: [12] },
  { name: "unimplemented_service", statuses: [12] },
];

/** Cases that the Go client and the Go server have beyond those: many calls on one connection, load reports in binary trailers. */
export const goOnlyCases: readonly string[] = ["rpc_soak", "channel_soak", "orca_per_rpc", "orca_oob"];

/**
 * Cases in which the Go client's load balancing policy opens a stream of its own, for load reports, which carries no metadata of
 * the call and thus no key: it belongs to the baseline, and what the call reports in a sandbox is not what it waits for.
 */
export const keylessCases: readonly string[] = ["orca_per_rpc", "orca_oob"];

/** The rest of the official list, and why it is not here. */
export const casesNotApplied: Readonly<Record<string, string>> = {
  cacheable_unary: "asks for calls by GET, which no current client sends",
  client_compressed_unary: "checks whether the server's library saw a compressed message; neither server can tell",
  server_compressed_unary: "checks how the server's library compresses; neither server can be told to",
  client_compressed_streaming: "as client_compressed_unary",
  server_compressed_streaming: "as server_compressed_unary",
  compute_engine_creds: "needs an account of Google's cloud",
  service_account_creds: "needs an account of Google's cloud",
  jwt_token_creds: "needs an account of Google's cloud",
  oauth2_auth_token: "needs an account of Google's cloud",
  per_rpc_creds: "needs an account of Google's cloud",
  google_default_credentials: "needs an account of Google's cloud",
  compute_engine_channel_credentials: "needs an account of Google's cloud",
  pick_first_unary: "tests the client's balancing among several servers, of which it sees none behind a sidecar",
  concurrent_large_unary: "the description is not finished, no client has it; rpc_soak does the like",
};
