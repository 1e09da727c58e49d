// The page Grants: prefix grants, and monitors. What one database grants is on its page Permissions.
import { Alert } from '@mantine/core';
import { useState } from 'react';
import { visible } from '../../parts/name.tsx';
import { useTitle } from '../../parts/title.ts';
import { Monitors } from './monitors.tsx';
import { PrefixGrants } from './prefix-grants.tsx';

export function GrantsPage() {
  useTitle('Grants');
  const [saved, setSaved] = useState<readonly string[]>();
  return (
    <>
      <h1>Grants</h1>
      <p>
        Grants that reach further than one database. What a single database grants is on its own page
        Permissions.
      </p>
      {saved !== undefined && (
        <Alert color={saved.length > 0 ? 'yellow' : 'green'} role="status">
          Saved. It is in force now.
          {saved.map((warning) => (
            <p key={warning}>{visible(warning)}</p>
          ))}
        </Alert>
      )}
      <PrefixGrants onSaved={setSaved} />
      <Monitors onSaved={setSaved} />
    </>
  );
}
