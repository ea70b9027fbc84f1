import type { ServerDuplexStream } from "@grpc/grpc-js";

type Shown = Pick<ServerDuplexStream<Buffer, Buffer>, "metadata" | "getAuthContext">;

/** The token that came with a call, without the word before it. */
export function bearerOf({ metadata }: Shown): string | undefined {
  const [value] = metadata.get("authorization");
  return typeof value === "string" ? /^Bearer +(\S+) *$/iu.exec(value)?.[1] : undefined;
}

/** The common name of the client's certificate, if it has been verified. */
export function certificateNameOf(call: Shown): string | undefined {
  const name: unknown = call.getAuthContext().sslPeerCertificate?.subject?.CN;
  return typeof name === "string" ? name : undefined;
}
