import type { Role } from "../config/control-config.ts";

/** Who asks, and what they may do. */
export interface Identity {
  /** Name of a token or of a certificate's subject, as the audit log has it; `anonymous` without authentication. */
  readonly name: string;
  readonly role: Role;
  /** Another control replica: it is told what this one knows by itself, and nothing that others would have to be asked for. */
  readonly replica: boolean;
}

/** Why somebody is not known: a sentence for whoever asks, which gives nothing away. */
export interface Unknown {
  readonly refused: string;
  /**
   * `expired`: the same one may come again with a newer token. `unavailable`: nobody can say at the moment, so it is worth trying
   * again. Default: `unknown`.
   */
  readonly because?: "unknown" | "expired" | "unavailable";
}

export type Identification = Identity | Unknown;

/** Decides who somebody is. */
export interface Authority {
  /**
   * `bearer` is the token without the word before it, `certificateName` the common name of a certificate that has been
   * verified; undefined: none was shown. A token goes before a certificate. `peer` is the address that it came from, without a
   * port; where somebody else has to be asked, no address may have many asked about at a time. A promise only there; it never rejects.
   */
  identify(
    bearer: string | undefined,
    certificateName: string | undefined,
    peer?: string,
  ): Identification | Promise<Identification>;
}

/** Each role may do what those before it may, but for a sidecar, which only follows the table: see `mayFollow`. */
const ranks: Readonly<Record<Role, number>> = { sidecar: 0, viewer: 1, editor: 2 };

/** Whether somebody with `role` may do what needs `needed`. */
export function mayAct(role: Role, needed: Role): boolean {
  return ranks[role] >= ranks[needed];
}

/** Whether somebody with `role` may be a sidecar: what that tells decides what others are told of theirs. */
export function mayFollow(role: Role): boolean {
  return role !== "viewer";
}
