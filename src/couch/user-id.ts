// The document ids of `_users`. Source: docs.couchdb.org/en/stable/intro/security.html#users-documents
import { documentPath } from './document-path.ts';

/** What the document id of every user begins with; the name follows. */
export const USER_ID_PREFIX = 'org.couchdb.user:';

/** Document id of the user of a name. */
export const userId = (name: string): string => USER_ID_PREFIX + name;

/** Path of the document of the user of a name. */
export const userPath = (name: string): string => documentPath('_users', userId(name));
