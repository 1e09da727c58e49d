// Endpoints of Cloudant's own API, and what Couchgate adds to it for the life of a key.
import { endpointsOf, type Row } from './row.ts';

// prettier-ignore
const CLOUDANT_ROWS: readonly Row[] = [
  ['api-keys', 'POST', '/_api/v2/api_keys', 'server_admin', 'none', 'couchgate', 'pooled', 'key', 'https://cloud.ibm.com/apidocs/cloudant#postapikeys'],
  ['api-keys-list', 'GET HEAD', '/_api/v2/api_keys', 'server_admin', 'none', 'couchgate', 'pooled', 'key', 'https://cloud.ibm.com/apidocs/cloudant'],
  ['api-key-get', 'GET HEAD', '/_api/v2/api_keys/{key}', 'server_admin', 'none', 'couchgate', 'pooled', 'key', 'https://cloud.ibm.com/apidocs/cloudant'],
  ['api-key-change', 'PATCH', '/_api/v2/api_keys/{key}', 'server_admin', 'none', 'couchgate', 'pooled', 'key', 'https://cloud.ibm.com/apidocs/cloudant'],
  ['api-key-revoke', 'DELETE', '/_api/v2/api_keys/{key}', 'server_admin', 'none', 'couchgate', 'pooled', 'key', 'https://cloud.ibm.com/apidocs/cloudant'],
  ['api-key-rotate', 'POST', '/_api/v2/api_keys/{key}/rotate', 'server_admin', 'none', 'couchgate', 'pooled', 'key', 'https://cloud.ibm.com/apidocs/cloudant'],
  ['api-security-get', 'GET HEAD', '/_api/v2/db/{db}/_security', '_security', 'member', 'couchgate', 'pooled', 'permissions', 'https://cloud.ibm.com/apidocs/cloudant#getsecurity'],
  ['api-security-put', 'PUT', '/_api/v2/db/{db}/_security', '_security', 'dbadmin', 'couchgate', 'pooled', 'permissions', 'https://cloud.ibm.com/apidocs/cloudant#putcloudantsecurityconfiguration'],
  ['api-cors-get', 'GET HEAD', '/_api/v2/user/config/cors', 'server_admin', 'none', 'couchgate', 'pooled', 'configuration', 'https://cloud.ibm.com/apidocs/cloudant#getcorsinformation'],
  ['api-cors-put', 'PUT POST', '/_api/v2/user/config/cors', 'server_admin', 'none', 'couchgate', 'pooled', 'configuration', 'https://cloud.ibm.com/apidocs/cloudant#putcorsconfiguration'],
  ['api-other', '*', '/_api/{anything*}', 'blocked missing', 'none', 'couchgate', 'pooled', 'read', 'https://cloud.ibm.com/apidocs/cloudant'],
  ['legacy-generate-api-key', 'POST', '/api/generate_api_key', 'server_admin', 'none', 'couchgate', 'pooled', 'key', 'https://cloud.ibm.com/docs/Cloudant'],
  ['legacy-set-permissions', 'POST', '/api/set_permissions', '_security', 'dbadmin', 'couchgate', 'pooled', 'permissions', 'https://cloud.ibm.com/docs/Cloudant'],
];

export const CLOUDANT_ENDPOINTS = [...endpointsOf('cloudant', CLOUDANT_ROWS)];
