/** Where in a document: the keys and list positions that lead there from the root. */
export type Path = readonly (string | number)[];

/** A value in the document, or the name that stands before it. */
export interface Place {
  readonly path: Path;
  readonly part: "name" | "value";
}

/**
 * Something wrong or odd in a document. The reader sees `what, why, what to write instead`; `config` turns places into
 * file, line and column.
 */
export interface Finding {
  readonly place: Place;
  readonly message: string;
  readonly why?: string;
  readonly hint?: string;
  /** The second place of a contradiction. */
  readonly other?: Place;
}

/** The name at the end of the path. */
export const nameAt = (...path: Path): Place => ({ path, part: "name" });
/** The value at the end of the path. */
export const valueAt = (...path: Path): Place => ({ path, part: "value" });
