/* eslint-disable @typescript-eslint/no-unsafe-class-instance-assignment -- the SDK declares plain JSON as classes */
// The official Cloudant SDK, unchanged, against Couchgate: what a Cloudant user's program does on its first day here.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import cloudant from '@ibm-cloud/cloudant';
import { type Couchgate, startCouchgate } from '../support/couchgate.ts';

const { BasicAuthenticator, CloudantV1, CouchdbSessionAuthenticator } = cloudant;
type Credentials = Readonly<{ name: string; password: string }>;

const AUTHENTICATORS = {
  'basic authentication': ({ name, password }: Credentials) =>
    new BasicAuthenticator({ username: name, password }),
  'session authentication': ({ name, password }: Credentials) =>
    new CouchdbSessionAuthenticator({ username: name, password }),
};

const status =
  (expected: number) =>
  (error: unknown): boolean =>
    (error as { readonly code?: number; readonly status?: number }).code === expected ||
    (error as { readonly status?: number }).status === expected;

for (const [kind, authenticator] of Object.entries(AUTHENTICATORS)) {
  describe(`the Cloudant SDK with ${kind}`, () => {
    const db = `sdk-${kind.split(' ')[0] ?? ''}`;
    let couchgate: Couchgate;
    const service = (credentials: Credentials) => {
      const client = CloudantV1.newInstance({ authenticator: authenticator(credentials) });
      client.setServiceUrl(couchgate.url);
      return client;
    };
    let owner: ReturnType<typeof service>;
    let key: Credentials;

    before(async () => {
      couchgate = await startCouchgate();
      owner = service(couchgate.owner);
    });
    after(() => couchgate.close());

    it('makes a database – putDatabase – 201', async () => {
      assert.equal((await owner.putDatabase({ db })).status, 201);
    });

    it('generates an API key – postApiKeys – 201 with key and password', async () => {
      const { status: code, result } = await owner.postApiKeys();
      assert.equal(code, 201);
      assert.match(result.key, /^[a-z]{24}$/);
      assert.match(result.password, /^[A-Za-z0-9]{24}$/);
      key = { name: result.key, password: result.password };
    });

    it('lets the new key into nothing – getAllDocs – 403', async () => {
      await assert.rejects(service(key).postAllDocs({ db, limit: 1 }), status(403));
    });

    it('grants – putCloudantSecurityConfiguration – and reads the grants back – getSecurity', async () => {
      const granted = await owner.putCloudantSecurityConfiguration({
        db,
        cloudant: { [key.name]: ['_reader', '_writer'] },
      });
      assert.equal(granted.result.ok, true);
      const { result } = await owner.getSecurity({ db });
      assert.deepEqual(result.cloudant, { [key.name]: ['_reader', '_writer'] });
    });

    it('says who is signed in – getSessionInformation', async () => {
      const { result } = await service(key).getSessionInformation();
      assert.equal(result.ok, true);
      assert.equal(result.userCtx.name, key.name);
    });

    it('writes and reads as the key – putDocument, getDocument, postBulkDocs, postAllDocs, postChanges', async () => {
      const client = service(key);
      const written = await client.putDocument({ db, docId: 'apple', document: { kind: 'fruit' } });
      assert.equal(written.status, 201);
      assert.equal((await client.getDocument({ db, docId: 'apple' })).result['kind'], 'fruit');
      await client.postBulkDocs({ db, bulkDocs: { docs: [{ _id: 'pear' }, { _id: 'plum' }] } });
      assert.equal((await client.postAllDocs({ db })).result.rows.length, 3);
      assert.equal((await client.postChanges({ db })).result.results.length, 3);
    });

    it('finds – postFind – as a _reader, and may not make an index – postIndex – 403', async () => {
      const client = service(key);
      const found = await client.postFind({ db, selector: { kind: 'fruit' } });
      assert.deepEqual(
        found.result.docs.map((doc) => doc._id),
        ['apple'],
      );
      await assert.rejects(client.postIndex({ db, index: { fields: [{ kind: 'asc' }] } }), status(403));
    });

    it('keeps a _reader from writing after the grant is narrowed – putSecurity – putDocument 403', async () => {
      await owner.putSecurity({ db, cloudant: { [key.name]: ['_reader'] } });
      await assert.rejects(service(key).putDocument({ db, docId: 'fig', document: {} }), status(403));
      assert.equal((await service(key).getDocument({ db, docId: 'apple' })).status, 200);
    });

    it('refuses a wrong password – getDocument – 401', async () => {
      await assert.rejects(
        service({ ...key, password: 'wrong' }).getDocument({ db, docId: 'apple' }),
        status(401),
      );
    });

    it('reads and writes the CORS configuration – putCorsConfiguration, getCorsInformation', async () => {
      await owner.putCorsConfiguration({
        origins: ['https://app.example'],
        enableCors: true,
        allowCredentials: true,
      });
      const { result } = await owner.getCorsInformation();
      assert.deepEqual(result.origins, ['https://app.example']);
    });
  });
}
