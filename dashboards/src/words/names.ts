/** What values of dimensions are called: countries and languages by the browser's own names. */

import { dimensionOf } from "../dimensions";
import { type Filter, OPERATION_WORDS } from "../view/filters";

/** What the API says for a value that is not there. */
const NOT_SET = "(not set)";

type NameKind = "region" | "language" | "currency";

export class Names {
  private readonly names = new Map<NameKind, Intl.DisplayNames>();

  constructor(private readonly locale?: string) {}

  private display(kind: NameKind, code: string): string {
    let names = this.names.get(kind);
    if (!names) {
      names = new Intl.DisplayNames(this.locale ?? [], { type: kind, fallback: "code" });
      this.names.set(kind, names);
    }
    try {
      return names.of(code) ?? code;
    } catch {
      // Not a code at all, such as what a client made up: shown as it is.
      return code;
    }
  }

  /** A country by its two letters. */
  country(code: string): string {
    return this.display("region", code);
  }

  /** A value of a dimension. */
  value(dimension: string, value: string): string {
    const { kind, empty } = dimensionOf(dimension);
    if (value === "" || value === NOT_SET) return empty;
    if (kind === "country") return this.display("region", value);
    if (kind === "language") return this.display("language", value);
    return value;
  }

  /** A filter as a sentence: "Country is Nepal or Japan". */
  filter(filter: Filter): string {
    const values = filter.values.map((value) => this.value(filter.dimension, value));
    return `${dimensionOf(filter.dimension).label} ${OPERATION_WORDS[filter.operation]} ${values.join(" or ")}`;
  }
}
