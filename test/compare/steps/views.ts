// Defines the steps for design documents, views and Mango.
import { DB, del, get, post, put, type Step } from '../step.ts';

const DESIGN = {
  views: {
    by_k: { map: 'function(doc){ if(doc.v) emit(doc.v, doc._id) }' },
    cnt: { map: 'function(doc){ emit(doc.type||"none", 1) }', reduce: '_count' },
  },
  filters: { onlyb: 'function(doc, req){ return doc._id[0]==="b" }' },
  updates: { u: 'function(doc,req){ return [null, "up"] }' },
};
const INDEX = { index: { fields: ['num'] }, name: 'num-idx', ddoc: 'num-ddoc' };
const BY_K = `${DB}/_design/v/_view/by_k`;

export const viewSteps: readonly Step[] = [
  put('PUT ddoc', `${DB}/_design/v`, { body: DESIGN }),
  get('GET view', `${BY_K}?reduce=false`),
  get('GET view reduce group', `${DB}/_design/v/_view/cnt?group=true`),
  post('POST view keys', BY_K, { body: { keys: [2] } }),
  post('view queries', `${BY_K}/queries`, { body: { queries: [{ limit: 1 }] } }),
  get('view missing', `${DB}/_design/v/_view/nope`),
  get('view update_seq', `${BY_K}?update_seq=true&stable=true&update=lazy`),
  get('ddoc _info', `${DB}/_design/v/_info`),
  post('_update', `${DB}/_design/v/_update/u`, { body: {} }),
  post('POST _index', `${DB}/_index`, { body: INDEX }),
  post('POST _index again', `${DB}/_index`, { body: INDEX }),
  get('GET _index', `${DB}/_index`),
  post('POST _find', `${DB}/_find`, { body: { selector: { num: { $gt: 1 } }, fields: ['_id', 'num'] } }),
  post('POST _find no index', `${DB}/_find`, {
    body: { selector: { k: 'v' }, limit: 1, execution_stats: true },
  }),
  post('POST _find bad selector', `${DB}/_find`, { body: { selector: { num: { $bogus: 1 } } } }),
  post('POST _find no selector', `${DB}/_find`, { body: {} }),
  post('POST _explain', `${DB}/_explain`, { body: { selector: { num: { $gt: 1 } } } }),
  del('DELETE _index', `${DB}/_index/num-ddoc/json/num-idx`),
];
