// The page of one key: its life, and the databases that grant it roles.
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { type ApiKey } from '../../api/keys.ts';
import { AccessList } from '../../parts/access-list.tsx';
import { QueryError } from '../../parts/error-notice.tsx';
import { LastUse, Moment } from '../../parts/moment.tsx';
import { Foreign, Name, visible } from '../../parts/name.tsx';
import { useTitle } from '../../parts/title.ts';
import { Waiting } from '../../parts/waiting.tsx';
import { keyQuery } from '../../queries.ts';
import { linkTo } from '../../router.ts';
import { type ChosenAction, KeyButtons, KeyDialog } from './key-actions.tsx';

export function KeyPage({ name }: { readonly name: string }) {
  const found = useQuery(keyQuery(name));
  const item = found.data ?? undefined;
  const [chosen, setChosen] = useState<ChosenAction>();
  useTitle(item?.label ?? name);
  return (
    <>
      <p className="crumbs">
        <a href={linkTo(['keys'])}>API keys</a>
      </p>
      {found.isPending && <Waiting what="the key" />}
      <QueryError query={found} title="The key cannot be read" isOldShown={item !== undefined} />
      {found.data === null && (
        <>
          <h1>No such key</h1>
          <p>
            <Name of={name} /> does not exist, or was revoked.
          </p>
        </>
      )}
      {item !== undefined && <KeyFacts item={item} onAct={setChosen} />}
      {chosen !== undefined && <KeyDialog {...chosen} onClose={() => setChosen(undefined)} />}
    </>
  );
}

interface FactsProps {
  readonly item: ApiKey;
  readonly onAct: (chosen: ChosenAction) => void;
}

function KeyFacts({ item, onAct }: FactsProps) {
  const { key, label, created_by, created_at, last_used, expires_at } = item;
  return (
    <>
      <h1>{visible(label ?? key)}</h1>
      <dl className="facts">
        <Fact title="Key">
          <Name of={key} />
        </Fact>
        <Fact title="Created">
          <Moment at={created_at} absent="" /> by <Foreign text={created_by} />
        </Fact>
        <Fact title="Last used">
          <LastUse hour={last_used} />
        </Fact>
        <Fact title="Expires">
          <Moment at={expires_at} absent="never" />
        </Fact>
      </dl>
      <KeyButtons item={item} onAct={onAct} />
      <AccessList name={key} />
      <p className="spaced">
        <a href={linkTo(['log'], { principal: key })}>Its requests in the access log</a>
      </p>
    </>
  );
}

function Fact({ title, children }: { readonly title: string; readonly children: ReactNode }) {
  return (
    <>
      <dt>{title}</dt>
      <dd>{children}</dd>
    </>
  );
}
