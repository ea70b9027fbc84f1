// OpenSSL and Node say what went wrong in their own words and with a line of their sources; here it is said in ours. The words go
// into answers (`detail`), the access log and the process log.

/** Ours: the endpoint is trusted, and still not what was asked for. The message is a sentence about the endpoint. */
export class TlsRefusal extends Error {}

/** What an endpoint's TLS went wrong with, as a sentence about the endpoint; undefined when it is no matter of TLS. */
export function explainUpstreamTls(
  error: NodeJS.ErrnoException,
  service: string,
  serverName: string,
  hasCa: boolean,
): string | undefined {
  if (error instanceof TlsRefusal) return error.message;
  const { code = "" } = error;
  const field = `upstreamTls.${service}`;
  switch (code) {
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "CERT_SIGNATURE_FAILURE":
      return hasCa
        ? `its certificate does not come from an authority in ${field}.ca`
        : `its certificate does not come from a public authority, write the one it comes from as ${field}.ca`;
    case "CERT_HAS_EXPIRED":
      return "its certificate, or one above it, has expired";
    case "CERT_NOT_YET_VALID":
      return "its certificate, or one above it, is not valid yet; or the clock here is wrong";
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return `its certificate is not for ${serverName}${namesOf(error)}, write the right name as ${field}.serverName`;
    case "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED":
      return `it asks for a client certificate, write ${field}.certificate and key`;
    case "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA":
    case "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE":
    case "ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE":
    case "ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN":
    case "ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_UNKNOWN":
    case "ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED":
    case "ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED":
      return `it does not accept the certificate of ${field}.certificate`;
    case "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE":
    case "ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE":
      return "it refused the TLS handshake: it asks for a client certificate, or for ciphers that are not offered";
    case "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL":
      return "it does not speak the HTTP version of the request over TLS (ALPN)";
    case "ERR_SSL_WRONG_VERSION_NUMBER":
    case "ERR_SSL_PACKET_LENGTH_TOO_LONG":
    case "ERR_SSL_RECORD_LAYER_FAILURE":
      return `it does not speak TLS on this port, remove ${field} or write the right port`;
    case "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION":
    case "ERR_SSL_UNSUPPORTED_PROTOCOL":
      return "it speaks no TLS of version 1.2 or later";
    case "ERR_SSL_TLSV1_UNRECOGNIZED_NAME":
      return `it has no certificate for ${serverName}, write the right name as ${field}.serverName`;
    case "ECONNRESET":
      // Before the handshake is over Node says so in words only.
      return /before secure TLS/u.test(error.message) ? "it closed the connection in the TLS handshake" : undefined;
    default:
      return code.startsWith("ERR_SSL_") ? `the TLS connection failed: ${wordsOf(code)}` : undefined;
  }
}

/** What a client's handshake went wrong with, as the end of a sentence about the client. */
export function explainClientTls(error: NodeJS.ErrnoException): string {
  const { code = "" } = error;
  switch (code) {
    case "ERR_SSL_WRONG_VERSION_NUMBER":
    case "ERR_SSL_PACKET_LENGTH_TOO_LONG":
    case "ERR_SSL_UNEXPECTED_MESSAGE":
      return "it does not speak TLS";
    case "ERR_SSL_UNSUPPORTED_PROTOCOL":
    case "ERR_SSL_VERSION_TOO_LOW":
      return "it speaks no TLS of minVersion or later";
    case "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE":
      return "it showed no certificate";
    case "ERR_SSL_NO_APPLICATION_PROTOCOL_AVAILABLE":
    case "ERR_SSL_NO_APPLICATION_PROTOCOL":
      return "it asks for a protocol that the listener does not speak (ALPN)";
    case "ERR_SSL_NO_SHARED_CIPHER":
      return "it has no cipher in common with us";
    case "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA":
    case "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE":
    case "ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE":
    case "ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN":
    case "ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_UNKNOWN":
      return "it does not know the authority of our certificate";
    case "ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED":
    case "ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED":
      return "our certificate has expired";
    case "ERR_TLS_HANDSHAKE_TIMEOUT":
      return "it took longer than timeouts.headMs";
    case "ECONNRESET":
    case "EPIPE":
      return "it went away in the middle";
    default:
      return code.startsWith("ERR_SSL_") ? wordsOf(code) : error.message;
  }
}

/** `, but for a, b`, as far as Node tells the names. */
function namesOf(error: Error & { readonly cert?: { readonly subjectaltname?: string } }): string {
  const names = error.cert?.subjectaltname?.replaceAll(/(?:DNS|IP Address):/gu, "");
  return names === undefined || names === "" ? "" : `, but for ${names.slice(0, 200)}`;
}

/** `ERR_SSL_BAD_SIGNATURE` -> `bad signature` */
function wordsOf(code: string): string {
  return code.slice("ERR_SSL_".length).toLowerCase().replaceAll("_", " ");
}
