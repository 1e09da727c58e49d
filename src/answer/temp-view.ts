// Answers /{db}/_temp_view, which CouchDB no longer supports.
import { HttpError } from '../http-errors.ts';
import { type Handler } from './index.ts';

/** Always answers 410. Source: CouchDB's chttpd_view.erl, handle_temp_view_req. */
export const answerTempView: Handler = () => {
  throw new HttpError(410, 'gone', 'Temporary views are not supported in CouchDB');
};
