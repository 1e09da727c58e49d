// Differences between the refusals of CouchDB and of Couchgate that remain, each with its reason.
import { type Answered } from './answers.ts';

export interface Difference {
  /** `status error`, or a status alone; `*` = any. */
  readonly couchdb: string;
  readonly couchgate: string;
  /** Requests to which it applies. */
  readonly on: RegExp;
  readonly why: string;
  /** Couchgate forwards the request, so the difference shows on a real CouchDB alone. */
  readonly forwarded?: true;
}

// prettier-ignore
export const DIFFERENCES: readonly Difference[] = [
  // What is closed on purpose, and who is asked first.
  { couchdb: '404', couchgate: '403', on: /\/_rewrite/u, why: 'Rewrites are closed for everybody (H1).' },
  { couchdb: '401', couchgate: '403', on: /./u, why: 'A caller with a name gets 403 and the role that is missing, as at Cloudant; 401 would ask for credentials.' },
  { couchdb: '403', couchgate: '403', on: / \/_(?:users|replicator)/u, why: 'The words name the role that is missing.' },
  { couchdb: '401', couchgate: '404', on: /^DELETE \/(?:T1|1db|nosuch)$/u, why: 'A database that does not exist is a 404 for every caller with a name.' },
  { couchdb: '401', couchgate: '405', on: / \/%db\/_purge/u, why: 'A key with _admin may purge, as at Cloudant; CouchDB asks for a server admin before it looks at the method.' },
  { couchdb: '401', couchgate: '200', on: /^DELETE \/%db$/u, why: 'A key with _admin may delete its database, as at Cloudant.' },
  { couchdb: '404', couchgate: '403', on: / \/_stats/u, why: 'CouchDB leaves this old path open to everybody; here, unknown paths of the server are closed but for the owner.' },
  { couchdb: '405', couchgate: '403', on: / \/_active_tasks/u, why: 'The path is the owner\'s; CouchDB looks at the method first.' },
  { couchdb: '*', couchgate: '403', on: / \/_replicate(?: |$)/u, why: 'The key has no role on _replicator.' },
  { couchdb: '400', couchgate: '405', on: / \/_replicate(?: |$)/u, why: 'CouchDB reads the body before it looks at the method.' },

  // Roles that CouchDB does not know: its member may do what here needs a role of its own.
  { couchdb: '200', couchgate: '403', on: / \/%db\/_(?:security|purged_infos|shards)/u, why: 'Every member may read it in CouchDB; here it needs a role.' },
  { couchdb: '202', couchgate: '403', on: / \/%db\/_(?:view|nouveau)_cleanup/u, why: 'Every member may start it in CouchDB (H11); here it needs _admin.' },
  { couchdb: '405', couchgate: '403', on: / \/%db\/_view_cleanup\/d\/e/u, why: 'CouchDB guards the exact path alone (H11).' },
  { couchdb: '500', couchgate: '403', on: / \/%db\/_(?:revs_limit|search_cleanup)/u, why: 'Every member may start it in CouchDB, which then fails; here it needs _admin.' },
  { couchdb: '*', couchgate: '403', on: / \/%(?:db|part)\/.*_(?:design|index)/u, why: 'It needs _design; CouchDB looks at the document and the body first.' },

  // Functions of design documents run in CouchDB for any method (H8).
  { couchdb: '200', couchgate: '405', on: /\/_(?:show|update)\//u, why: 'CouchDB runs the function for any method (H8).' },
  { couchdb: '400', couchgate: '405', on: /\/_partition\/.*\/_(?:show|update)\//u, why: 'CouchDB runs the function for any method (H8).' },
  { couchdb: '*', couchgate: '405', on: /^OPTIONS .*\/_list/u, why: 'CouchDB runs the function for OPTIONS (H8).' },
  { couchdb: '405', couchgate: '405', on: /^(?:GET|HEAD) .*\/_update\//u, why: 'Couchgate names the methods in Allow, as RFC 9110 wants; CouchDB has a sentence instead.' },

  // What only CouchDB can know.
  { couchdb: '404', couchgate: '*', on: /\/_design\/none\//u, why: 'Couchgate does not know that the design document is missing.' },
  { couchdb: '404', couchgate: '405', on: /\/_nouveau(?:_info)?\//u, why: 'Nouveau is not installed on the recorded node; these are the methods in its source.' },
  { couchdb: '400', couchgate: '405', on: / \/%db\/_partition\/p\/_all_docs/u, why: 'Couchgate does not know that the database is not partitioned.' },
  { couchdb: '500', couchgate: '*', on: /\/_(?:shards\/doc\/x|info\/x|changes\/d\/e|stats\/d\/e)/u, why: 'CouchDB fails on such a path.' },
  { couchdb: '*', couchgate: '404', on: / \/favicon\.ico\/x/u, why: 'The name of a file, which CouchDB answers in plain text.' },

  // The owner: paths that CouchDB serves to server admins, and that are closed here.
  { couchdb: '*', couchgate: '404', on: / \/_(?:session|uuids|up|active_tasks)\/x/u, why: 'CouchDB ignores what stands behind these paths; here they are unknown (H7).' },
  { couchdb: '*', couchgate: '404', on: / \/_(?:node|scheduler|reshard)(?:\/nope)?(?: |$)/u, why: 'These paths serve nothing in CouchDB either, which says so in several ways.' },
  { couchdb: '*', couchgate: '400 illegal_database_name', on: /^PUT \/_(?:node|scheduler)$/u, why: 'These paths serve nothing in CouchDB either.' },
  { couchdb: '200', couchgate: '405', on: / \/_node\/_local(?: |$)/u, why: 'CouchDB answers to any method.' },
  { couchdb: '405', couchgate: '405', on: / \/_(?:node\/_local\/_config|cluster_setup)/u, why: 'What is closed on purpose does not follow CouchDB in the list of methods.' },
  { couchdb: '*', couchgate: '400 bad_request', on: /^(?:POST|PUT) \/_replic/u, why: 'Couchgate checks a replication job before CouchDB sees it (H9).' },
  { couchdb: '403', couchgate: '400 bad_request', on: /^PUT \/_users\/_security/u, why: 'Both refuse it; here the reason says that grants have no effect there.' },

  { couchdb: '*', couchgate: '*', on: / \/(?:_dashboard(?:\/| |$)|dashboard\.html)/u, why: 'Couchgate serves its dashboard there.' },
  // What Couchgate permits and CouchDB, asked as member, does not.
  { couchdb: '401', couchgate: '*', on: / \/_(?:search|nouveau)_analyze/u, why: 'Everybody who is signed in may analyse a text, as at Cloudant.', forwarded: true },
  { couchdb: '401', couchgate: '*', on: / \/%db\/_purge/u, why: 'A key with _admin may purge, as at Cloudant.', forwarded: true },
  { couchdb: '401', couchgate: '*', on: / \/_(?:all_dbs|dbs_info)/u, why: 'Everybody who is signed in may list the databases on which it has a role.' },
];

/** The first entry that explains the difference. */
export function explanationOf(line: string, couchdb: Answered, couchgate: Answered): Difference | undefined {
  return DIFFERENCES.find(
    (entry) => isOf(entry.couchdb, couchdb) && isOf(entry.couchgate, couchgate) && entry.on.test(line),
  );
}

/** The answer to a HEAD has no error. */
function isOf(pattern: string, { status, error }: Answered): boolean {
  const [wanted, name] = pattern.split(' ');
  return (
    wanted === '*' ||
    (wanted === String(status) && (name === undefined || error === undefined || name === error))
  );
}
