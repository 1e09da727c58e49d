// Hands a database to CouchDB's own members and admins, and says what that means.
import { Alert, Checkbox, Radio, Textarea } from '@mantine/core';
import { useState } from 'react';
import {
  type CouchList,
  couchRulesIn,
  type CouchRules as Rules,
  hasEntries,
} from '../../permission-edits.ts';
import { type Editing } from './use-edits.ts';

const EMPTY: CouchList = { names: [], roles: [] };

export function CouchRules({ editing: { base, edits, setCouch } }: { readonly editing: Editing }) {
  const saved = couchRulesIn(base.document);
  const rules = edits.couch?.after ?? saved;
  const hasLists = saved.members !== undefined || saved.admins !== undefined;
  // An arrow key, or a box that is cleared and ticked again, loses nothing that was typed.
  const [typed, setTyped] = useState<Rules>();
  const [listed, setListed] = useState<CouchList>({ names: [''], roles: [] });
  const toggle = (isOn: boolean): void => {
    setTyped(rules);
    setCouch(isOn || saved.isOn ? { ...((isOn ? typed : undefined) ?? rules), isOn } : saved);
  };
  const change = (next: Rules): void => {
    if (hasEntries(rules.members)) setListed(rules.members);
    setCouch(next);
  };
  return (
    <details className="couch-rules" open={rules.isOn || undefined}>
      <summary>Let CouchDB decide (couchdb_auth_only)</summary>
      <Alert color="yellow">
        While this is on, Couchgate’s roles have no effect on this database. CouchDB decides with the names
        and roles below, and with the caller’s own name and roles.
      </Alert>
      <Checkbox
        label="CouchDB decides about this database"
        checked={rules.isOn}
        onChange={(event) => toggle(event.currentTarget.checked)}
      />
      {!rules.isOn && hasLists && <p className="hint">Members and admins are stored, without effect.</p>}
      {rules.isOn && <Lists rules={rules} listed={listed} onChange={change} />}
    </details>
  );
}

interface ListsProps {
  readonly rules: Rules;
  /** The members that were listed last. */
  readonly listed: CouchList;
  readonly onChange: (rules: Rules) => void;
}

function Lists({ rules, listed, onChange }: ListsProps) {
  const { members, admins = EMPTY } = rules;
  const isListed = hasEntries(members);
  const choice = members === undefined ? 'nobody' : isListed ? 'listed' : 'everybody';
  const choose = (value: string): void => {
    const lists = { nobody: undefined, everybody: EMPTY, listed } as const;
    if (value === 'nobody' || value === 'everybody' || value === 'listed')
      onChange({ ...rules, members: lists[value] });
  };
  return (
    <div className="form">
      <Radio.Group label="Members: who may read and write documents" value={choice} onChange={choose}>
        <div className="choices">
          <Radio value="nobody" label="Server admins alone" />
          <Radio value="listed" label="These names and roles" />
          <Radio value="everybody" label="Everybody, the public included" />
        </div>
      </Radio.Group>
      {isListed && (
        <ListFields of="Members" list={members} onChange={(list) => onChange({ ...rules, members: list })} />
      )}
      <p>Admins: who may also write design documents.</p>
      <ListFields of="Admins" list={admins} onChange={(list) => onChange({ ...rules, admins: list })} />
    </div>
  );
}

interface FieldsProps {
  readonly of: string;
  readonly list: CouchList;
  readonly onChange: (list: CouchList) => void;
}

/** One name a line. An empty last line is kept while a person types. */
function ListFields({ of, list, onChange }: FieldsProps) {
  const lines = (text: string): readonly string[] => text.split('\n');
  return (
    <div className="pair">
      <Textarea
        label={`${of}: names, one a line`}
        spellCheck={false}
        rows={3}
        value={list.names.join('\n')}
        onChange={(event) => onChange({ ...list, names: lines(event.currentTarget.value) })}
      />
      <Textarea
        label={`${of}: roles, one a line`}
        spellCheck={false}
        rows={3}
        value={list.roles.join('\n')}
        onChange={(event) => onChange({ ...list, roles: lines(event.currentTarget.value) })}
      />
    </div>
  );
}
