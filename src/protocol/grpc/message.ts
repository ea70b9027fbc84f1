// `grpc-message` (gRPC over HTTP/2, "Responses"): UTF-8, percent-encoded but for printable ASCII without `%`.

/** The field value for a text. Lone surrogates become U+FFFD. */
export function encodeGrpcMessage(text: string): string {
  let value = "";
  for (const byte of new TextEncoder().encode(text)) {
    value +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return value;
}
