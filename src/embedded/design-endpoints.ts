// Selects the endpoint of a path below _design/{name}: document, attachment, view, _info or a 501.
import { createHash } from 'node:crypto';
import { sendJson } from '../respond.ts';
import { attachmentMethods } from './attachments.ts';
import { documentMethods } from './document-endpoints.ts';
import { type DatabaseExchange, type Methods } from './exchange.ts';
import { notImplemented } from './not-done.ts';
import { viewMethods } from './view-endpoints.ts';

const NOT_IMPLEMENTED: ReadonlyMap<string, string> = new Map([
  ['_show', 'show functions'],
  ['_list', 'list functions'],
  ['_update', 'update functions'],
  ['_rewrite', 'rewrite functions'],
  ['_search', 'full text search'],
  ['_search_info', 'full text search'],
  ['_search_disk_size', 'full text search'],
  ['_nouveau', 'full text search'],
  ['_nouveau_info', 'full text search'],
]);

/** The methods of a path below `_design/{name}`; they answer 501 for unsupported features. */
export function designEndpoint(exchange: DatabaseExchange): Methods<DatabaseExchange> {
  const kind = exchange.path[3];
  if (kind === undefined) return documentMethods;
  if (kind === '_view') return viewMethods;
  if (kind === '_info') return { allow: 'GET', GET: describeDesign };
  const feature = NOT_IMPLEMENTED.get(kind);
  return feature === undefined ? attachmentMethods : notImplemented(feature);
}

/** Answers `_info`. PouchDB reports no index state, so only the signature and the language are real. */
async function describeDesign({ res, path, database }: DatabaseExchange): Promise<void> {
  const [, , name = ''] = path;
  const design = await database.storage.get(`_design/${name}`);
  sendJson(res, 200, {
    name,
    view_index: {
      updates_pending: { minimum: 0, preferred: 0, total: 0 },
      waiting_commit: false,
      waiting_clients: 0,
      updater_running: false,
      update_seq: 0,
      sizes: { file: 0, external: 0, active: 0 },
      signature: createHash('md5')
        .update(JSON.stringify(design['views'] ?? {}))
        .digest('hex'),
      purge_seq: 0,
      language: typeof design['language'] === 'string' ? design['language'] : 'javascript',
      compact_running: false,
      collator_versions: ['0'],
    },
  });
}
