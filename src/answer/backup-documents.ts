// Answers the owner's requests for the stored versions of a document, and restores one.
import { type Question } from '../backup/process-protocol.ts';
import { type Context, known } from '../context.ts';
import { BadRequest } from '../http-errors.ts';
import { requireStillPermitted } from '../revocation/after-wait.ts';
import { sendJsonText } from '../respond.ts';
import { ask, type BackupDeps } from './backup.ts';
import {
  fieldsOf,
  optionalTextIn,
  parametersOf,
  refuseOwn,
  restoreTarget,
  textIn,
} from './backup-request.ts';
import { type Answers } from './index.ts';

type DocumentAnswers = Pick<Answers, 'backup-document' | 'backup-document-restore'>;

/** Creates the handlers. */
export function backupDocumentHandlers(deps: BackupDeps): DocumentAnswers {
  return {
    async 'backup-document'(_req, res, context) {
      const question = questionOf(deps, context);
      const { status, text } = await ask(deps, question);
      sendJsonText(res, status, text);
    },
    async 'backup-document-restore'(req, res, context) {
      const names = ['id', 'snapshot', 'revision', 'rev'];
      const fields = await fieldsOf(deps.bodies, [req, res], names);
      const { database, id } = documentOf(context, optionalTextIn(fields, 'id'));
      restoreTarget(database, deps.storeDatabase);
      const snapshot = textIn(fields, 'snapshot');
      const revision = fields['revision'];
      if (revision !== null && (typeof revision !== 'string' || revision === ''))
        throw new BadRequest(
          '`revision` must be the revision that was shown, or null if there was no document',
        );
      const rev = optionalTextIn(fields, 'rev');
      await requireStillPermitted(deps.isStillPermitted, context);
      const { status, text } = await ask(deps, {
        kind: 'restoreDocument',
        database,
        id,
        snapshot,
        revision,
        ...(rev === undefined ? {} : { rev }),
      });
      if (status === 201)
        context.outcome.change = { action: 'restore document', database, document: id, snapshot };
      sendJsonText(res, status, text);
    },
  };
}

function questionOf({ storeDatabase }: BackupDeps, context: Context): Question {
  const parameters = parametersOf(context, ['id', 'snapshot', 'rev', 'to']);
  const { database, id } = documentOf(context, parameters.get('id'));
  refuseOwn(database, storeDatabase);
  const [snapshot, rev, to] = [parameters.get('snapshot'), parameters.get('rev'), parameters.get('to')];
  if (snapshot === undefined) {
    if ((rev ?? to) !== undefined) throw new BadRequest('`rev` and `to` need `snapshot`');
    return { kind: 'versions', database, id };
  }
  return {
    kind: 'version',
    database,
    id,
    snapshot,
    ...(rev === undefined ? {} : { rev }),
    ...(to === undefined ? {} : { to }),
  };
}

/**
 * Database and id of the path `/_api/v2/backup/documents/{database}[/[_design/]{docid}[/restore]]`. Without
 * an id in the path, `named` is the id: `.`, `..` and NUL are in no path.
 */
function documentOf(
  context: Context,
  named: string | undefined,
): { readonly database: string; readonly id: string } {
  const { segments } = known(context.target, 'target');
  const [database = '', ...rest] = segments.slice(4);
  if (known(context.operation, 'operation').endpoint.id === 'backup-document-restore') rest.pop();
  const inPath = rest.join('/');
  if (inPath !== '' && named !== undefined) throw new BadRequest('The id is in the path; leave `id` out');
  const id = inPath === '' ? named : inPath;
  if (id === undefined || id === '') throw new BadRequest('The id of a document is missing');
  return { database, id };
}
