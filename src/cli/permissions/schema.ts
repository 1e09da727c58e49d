// Writes the JSON schema of permissions files, for editors. file.ts checks the same, and more.
import { MAX_DATABASES } from '../../permissions/prefix-grant.ts';
import { ROLES } from '../../permissions/role.ts';
import { MONITOR } from '../../permissions/server-grants.ts';

const TEXTS = { type: 'array', items: { type: 'string' } };
const ROLE_LIST = { type: 'array', items: { enum: ROLES }, uniqueItems: true };
const COUCHDB_LIST = {
  type: ['object', 'null'],
  additionalProperties: false,
  properties: { names: TEXTS, roles: TEXTS },
};

/** Returns the text of docs/schema/permissions.schema.json. */
export function permissionsSchema(): string {
  const { grant, prefixGrant, serverGrant } = grantSchemas();
  const entry = {
    type: ['object', 'null'],
    additionalProperties: false,
    properties: {
      grants: { type: ['array', 'null'], items: grant },
      couchdb_auth_only: {
        type: 'boolean',
        description:
          'CouchDB decides by its own members and admins. Without it, the file does not manage them.',
      },
      members: {
        ...COUCHDB_LIST,
        description: 'Only with `couchdb_auth_only: true`. Empty lists are public.',
      },
      admins: { ...COUCHDB_LIST, description: 'Only with `couchdb_auth_only: true`.' },
    },
  };
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Couchgate: permissions file',
    type: 'object',
    additionalProperties: false,
    required: ['version'],
    properties: {
      version: { const: 1 },
      databases: {
        type: ['object', 'null'],
        description: 'By name, or by a pattern: `*` stands for any characters.',
        additionalProperties: entry,
      },
      prefix_grants: {
        type: ['object', 'null'],
        description: 'By id. With --prune, prefix grants that are not here are revoked.',
        additionalProperties: prefixGrant,
      },
      server_grants: {
        type: ['array', 'null'],
        description: 'With --prune, server grants that are not here are revoked.',
        items: serverGrant,
      },
    },
  };
  return `${JSON.stringify(schema, null, 2)}\n`;
}

function grantSchemas() {
  const grant = {
    type: 'object',
    additionalProperties: false,
    required: ['roles'],
    oneOf: [{ required: ['name'] }, { required: ['key'] }],
    properties: {
      name: { type: 'string', description: 'A user, the name of an API key, or nobody.' },
      key: { type: 'string', description: 'The label of exactly one valid API key.' },
      roles: ROLE_LIST,
    },
  };
  const holder = { name: grant.properties.name, key: grant.properties.key };
  const prefixGrant = {
    ...grant,
    required: ['databases', 'roles'],
    properties: {
      ...holder,
      databases: { type: 'string', description: 'A prefix of names with one `*` at its end.' },
      roles: { ...ROLE_LIST, items: { enum: ROLES.filter((role) => role !== '_db_updates') } },
      create: { type: 'boolean' },
      delete: { type: 'boolean' },
      max_databases: { type: 'integer', minimum: 1, maximum: MAX_DATABASES },
    },
  };
  const serverGrant = {
    ...grant,
    properties: { ...holder, roles: { type: 'array', items: { enum: [MONITOR] }, minItems: 1, maxItems: 1 } },
  };
  return { grant, prefixGrant, serverGrant };
}
