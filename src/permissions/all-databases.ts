// Lists the databases whose permissions Couchgate keeps.
import { type Couch } from '../couch/couch.ts';
import { Unavailable } from '../http-errors.ts';

const PAGE = 1000;

/** Every database for which `isKept` is true. Throws `Unavailable`. */
export async function* allDatabases(
  couch: Pick<Couch, 'ask'>,
  isKept: (database: string) => boolean,
): AsyncGenerator<string> {
  let start = '';
  for (let rows = PAGE; rows === PAGE;) {
    const from = start === '' ? '' : `&skip=1&startkey=${encodeURIComponent(JSON.stringify(start))}`;
    const { status, body } = await couch.ask({ method: 'GET', path: `/_all_dbs?limit=${PAGE}${from}` });
    if (status !== 200 || !Array.isArray(body))
      throw new Unavailable('The databases cannot be listed.', { detail: `CouchDB answered ${status}` });
    for (const name of body as readonly string[]) {
      start = name;
      if (isKept(name)) yield name;
    }
    rows = body.length;
  }
}
