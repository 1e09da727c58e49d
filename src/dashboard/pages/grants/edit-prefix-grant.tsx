// The dialog that adds or changes a prefix grant.
import { Checkbox, TextInput } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { type PrefixGrant, type PrefixGrantFields, putPrefixGrant } from '../../api/grants.ts';
import { FormDialog } from '../../parts/form-dialog.tsx';
import { PrincipalField, usePrincipal } from '../../parts/principal-field.tsx';
import { RoleChoices } from '../../parts/role-choices.tsx';
import { databasesQuery, prefixGrantsQuery } from '../../queries.ts';
import { grantsAll } from '../../roles.ts';

interface Props {
  /** Undefined = a new one. */
  readonly grant: PrefixGrant | undefined;
  readonly onSaved: (warnings: readonly string[]) => void;
  readonly onClose: () => void;
}

const USUAL_MOST = '1000';
const NAMED = 3;

export function EditPrefixGrant({ grant, onSaved, onClose }: Props) {
  const queries = useQueryClient();
  const [who, setWho] = useState(grant?.principal ?? '');
  const [prefix, setPrefix] = useState(grant?.databases.replace(/\*$/, '') ?? '');
  const [roles, setRoles] = useState<readonly string[]>(grant?.roles ?? ['_reader']);
  const [creates, setCreates] = useState(grant?.create === true);
  const [most, setMost] = useState(String(grant?.max_databases ?? USUAL_MOST));
  const [deletes, setDeletes] = useState(grant?.delete === true);
  const [isConfirmed, setConfirmed] = useState(grant?.dangerous === true);
  const choice = usePrincipal(who);
  const isDangerous = roles.some(grantsAll);
  const isEmpty = roles.length === 0 && !creates && !deletes;
  const fields: PrefixGrantFields = {
    principal: choice.name,
    databases: `${prefix.trim().replace(/\*$/, '')}*`,
    roles,
    create: creates,
    delete: deletes,
    ...(creates ? { max_databases: Number(most) } : {}),
    ...(isDangerous ? { dangerous: isConfirmed } : {}),
  };
  const run = async (): Promise<void> => {
    const warnings = await putPrefixGrant(grant ?? { newId: newId(fields.databases) }, fields).finally(() =>
      queries.invalidateQueries({ queryKey: prefixGrantsQuery.queryKey }),
    );
    onSaved(warnings);
    onClose();
  };
  return (
    <FormDialog
      title={grant === undefined ? 'Add prefix grant' : 'Change prefix grant'}
      isWide
      action="Save"
      isReady={!isEmpty && (!isDangerous || isConfirmed) && (!creates || isCount(most))}
      failed="The grant was not saved"
      hint={isEmpty && <span className="hint">Choose at least one right.</span>}
      run={run}
      onClose={onClose}
    >
      <PrincipalField
        label="User name or API key"
        choice={choice}
        text={who}
        onChange={setWho}
        description={choice.isUnknown ? 'No key and no user has this name.' : undefined}
        isRequired
      />
      <TextInput
        label="Databases whose name begins with"
        description={<Matching prefix={fields.databases.slice(0, -1)} />}
        placeholder="userdb-"
        autoComplete="off"
        spellCheck={false}
        required
        value={prefix}
        onChange={(event) => setPrefix(event.currentTarget.value)}
      />
      {/* `_db_updates` is a role on the whole server. */}
      <RoleChoices legend="Roles on all of them" roles={roles} onChange={setRoles} without="_db_updates" />
      <fieldset className="choices">
        <legend>The databases themselves</legend>
        <Checkbox
          label="May create such databases"
          checked={creates}
          onChange={(event) => setCreates(event.currentTarget.checked)}
        />
        <Checkbox
          label="May delete such databases"
          checked={deletes}
          onChange={(event) => setDeletes(event.currentTarget.checked)}
        />
        {creates && (
          <TextInput
            label="Until there are so many of them"
            inputMode="numeric"
            value={most}
            error={isCount(most) ? undefined : 'A whole number from 1 to 100,000'}
            onChange={(event) => setMost(event.currentTarget.value)}
          />
        )}
      </fieldset>
      {isDangerous && (
        <Checkbox
          label="I know: this name can take every right on all these databases, also on later ones"
          checked={isConfirmed}
          onChange={(event) => setConfirmed(event.currentTarget.checked)}
        />
      )}
    </FormDialog>
  );
}

function isCount(text: string): boolean {
  return /^\d{1,6}$/.test(text) && Number(text) >= 1 && Number(text) <= 100_000;
}

/** Ids are for the API alone. A random end keeps two new grants from replacing each other. */
function newId(databases: string): string {
  const words = databases.replace(/[^A-Za-z0-9]+/g, '-').replace(/^-|-$/g, '');
  const random = crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
  return `${words.slice(0, 40)}-${random.toString(36)}`;
}

/** Which databases there are now. */
function Matching({ prefix }: { readonly prefix: string }) {
  const { data } = useQuery({ ...databasesQuery, staleTime: 60_000 });
  if (prefix === '' || data === undefined) return 'At least three characters.';
  const found = data.filter((name) => name.startsWith(prefix));
  if (found.length === 0) return 'No database begins so yet. Later ones will belong to it.';
  const more = found.length - NAMED;
  const names = found.slice(0, NAMED).join(', ');
  return `Now: ${names}${more > 0 ? ` and ${more.toLocaleString('en')} more` : ''}. Later ones will belong to it.`;
}
