// Splits a query into parameters where CouchDB does, which ends one at a semicolon too. Whether the case of a
// name counts is a matter of each endpoint. Source: mochiweb_util.erl, parse_qs.

/** The parameters as they were sent. `query` is empty or begins with `?`. */
export function rawParametersOf(query: string): readonly string[] {
  return query.slice(1).split(/[&;]/);
}

/** The parameters, decoded. `query` is empty or begins with `?`. */
export function parametersOf(query: string): URLSearchParams {
  return new URLSearchParams(query.replaceAll(';', '&'));
}
