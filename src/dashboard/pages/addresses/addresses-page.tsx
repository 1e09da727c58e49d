// The page Addresses: the lists in force, the address of the person, and a test of another one.
import { Alert, Button, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';
import { type Addresses, type AddressVerdict, readAddresses, testAddress } from '../../api/addresses.ts';
import { ErrorNotice, QueryError } from '../../parts/error-notice.tsx';
import { Name } from '../../parts/name.tsx';
import { useTitle } from '../../parts/title.ts';
import { Waiting } from '../../parts/waiting.tsx';
import { replaceParameters, useRoute } from '../../router.ts';

export function AddressesPage() {
  useTitle('Addresses');
  const query = useQuery({ queryKey: ['addresses'], queryFn: ({ signal }) => readAddresses(signal) });
  return (
    <>
      <h1>Addresses</h1>
      <p>Which addresses may reach Couchgate, before any password is looked at.</p>
      <QueryError query={query} title="The lists cannot be read" />
      {query.isPending && <Waiting what="the address lists" />}
      {query.data !== undefined && (
        <>
          <You you={query.data.you} />
          <Lists lists={query.data} />
        </>
      )}
      <Tester />
    </>
  );
}

function You({ you: { address, may_administer, hops, ignored_header } }: Pick<Addresses, 'you'>) {
  const [peer, ...others] = hops;
  return (
    <section aria-labelledby="you">
      <h2 id="you">Your address</h2>
      <p>
        Couchgate sees you as <Name of={address} />
        {may_administer ? ', which may act as server admin.' : ', which may not act as server admin.'}
      </p>
      {others.length === 0 ? (
        <p className="hint">
          It is the other end of the connection{ignored_header ? '' : ', and no proxy is in between'}.
        </p>
      ) : (
        <>
          <p className="hint">
            The connection comes from <Name of={peer?.address ?? ''} />, a trusted proxy. The way to you:
          </p>
          <ol className="hops">
            {others.map((hop, at) => (
              // One address may occur twice on the way.
              <li key={`${at} ${hop.address}`}>
                <Name of={hop.address} />, named by <Name of={hop.seen_by} />
                {hop.trusted_proxy ? ': a trusted proxy' : ': you'}
              </li>
            ))}
          </ol>
        </>
      )}
      {ignored_header && (
        <Alert color="yellow">
          Your request has the header X-Forwarded-For, but <Name of={peer?.address ?? ''} /> is no trusted
          proxy, so it is ignored. If that is your proxy, add it to trusted_proxies.
        </Alert>
      )}
    </section>
  );
}

const EVERYBODY = ['0.0.0.0/0', '::/0'];

const isEverybody = (ranges: readonly string[]): boolean =>
  EVERYBODY.every((range) => ranges.includes(range));

function Lists({ lists }: { readonly lists: Addresses }) {
  return (
    <section aria-labelledby="lists">
      <h2 id="lists">Lists in force</h2>
      <dl className="facts">
        <Term words="May use Couchgate" name="allow" />
        <Ranges ranges={lists.allow} none="Nobody" />
        <Term words="May act as server admin" name="owner_allow" />
        <Ranges ranges={lists.owner_allow} none="Nobody" />
        <Term words="May ask for health too" name="probe_allow" />
        <Ranges ranges={lists.probe_allow} none="Nobody but those who may use Couchgate" />
        <Term words="Trusted proxies" name="trusted_proxies" />
        <Ranges ranges={lists.trusted_proxies} none="None: X-Forwarded-For is ignored" />
      </dl>
      <p className="hint">
        The lists are in <code>ip-whitelist.yaml</code> on the server. A change of the file takes effect
        within a second, without a restart; a file with a mistake changes nothing.
      </p>
    </section>
  );
}

/** A list, with its name in the file. */
function Term({ words, name }: { readonly words: string; readonly name: string }) {
  return (
    <dt>
      {words} <code className="below">{name}</code>
    </dt>
  );
}

interface RangesProps {
  readonly ranges: readonly string[];
  readonly none: string;
}

function Ranges({ ranges, none }: RangesProps) {
  return (
    <dd>
      {isEverybody(ranges) ? (
        'Every address'
      ) : ranges.length === 0 ? (
        none
      ) : (
        <ul className="ranges">
          {ranges.map((range) => (
            <li key={range}>
              <Name of={range} />
            </li>
          ))}
        </ul>
      )}
    </dd>
  );
}

function Tester() {
  const { parameters } = useRoute();
  const asked = parameters.get('address') ?? '';
  const [text, setText] = useState(asked);
  const verdict = useQuery({
    queryKey: ['address-test', asked],
    queryFn: () => testAddress(asked),
    enabled: asked !== '',
    staleTime: 0,
  });
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    replaceParameters({ address: text.trim() });
    void verdict.refetch();
  };
  return (
    <section aria-labelledby="test">
      <h2 id="test">Test an address</h2>
      <form className="add-name" onSubmit={submit}>
        <TextInput
          label="IP address"
          placeholder="192.0.2.7 or 2001:db8::7"
          autoComplete="off"
          spellCheck={false}
          required
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
        />
        <Button type="submit" variant="default" loading={verdict.isFetching}>
          Test
        </Button>
      </form>
      {verdict.isError && <ErrorNotice error={verdict.error} title="The address cannot be tested" />}
      {verdict.data !== undefined && <Verdict verdict={verdict.data} />}
    </section>
  );
}

function Verdict({ verdict }: { readonly verdict: AddressVerdict }) {
  const { allowed, allowed_by, may_administer, administers_by, probes_by, proxy_by } = verdict;
  return (
    <Alert
      className="spaced"
      color={allowed ? 'green' : 'red'}
      role="status"
      title={allowed ? 'It may use Couchgate' : 'It is refused with 403'}
    >
      <ul className="changes">
        <li>{allowed ? `In allow: ${allowed_by ?? ''}` : 'In no range of allow'}</li>
        <li>
          {may_administer
            ? `May act as server admin: ${administers_by ?? ''} in owner_allow`
            : 'May not act as server admin'}
        </li>
        {probes_by !== null && <li>May ask for health: {probes_by} in probe_allow</li>}
        {proxy_by !== null && (
          <li>A trusted proxy ({proxy_by}): behind it, the address in X-Forwarded-For decides</li>
        )}
      </ul>
    </Alert>
  );
}
