// Answers /_node/{node}/_active_tasks: the tasks of one node.
import { isJsonObject } from '../json/object.ts';
import { known } from '../context.ts';
import { type Couch } from '../couch/couch.ts';
import { NotFound } from '../http-errors.ts';
import { sendJson } from '../respond.ts';
import { type Answers } from './index.ts';

/**
 * Creates the handler. It filters `/_active_tasks`, where each task names its node. The request is not
 * forwarded: in CouchDB, `couch_httpd` of the named node answers it, and `couch_httpd` accepts no tokens.
 */
export function nodeTasksHandlers({
  couch,
}: {
  readonly couch: Pick<Couch, 'ask'>;
}): Pick<Answers, 'node-active-tasks'> {
  return {
    async 'node-active-tasks'(_req, res, context) {
      const [, name = ''] = known(context.target, 'target').segments;
      const node = name === '_local' ? await localName(couch) : await memberNamed(couch, name);
      const { body } = await couch.ask({ method: 'GET', path: '/_active_tasks' });
      const tasks: readonly unknown[] = Array.isArray(body) ? body : [];
      sendJson(
        res,
        200,
        tasks.filter((task) => isJsonObject(task) && task['node'] === node),
      );
    },
  };
}

async function localName(couch: Pick<Couch, 'ask'>): Promise<unknown> {
  const { body } = await couch.ask({ method: 'GET', path: '/_node/_local', inOrder: true });
  return isJsonObject(body) ? body['name'] : undefined;
}

async function memberNamed(couch: Pick<Couch, 'ask'>, name: string): Promise<string> {
  const { body } = await couch.ask({ method: 'GET', path: '/_membership' });
  const members = isJsonObject(body) ? body['all_nodes'] : undefined;
  if (!Array.isArray(members) || !members.includes(name)) throw new NotFound(`no such node: ${name}`);
  return name;
}
