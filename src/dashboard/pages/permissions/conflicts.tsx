// Shows their change beside mine, with a choice for each row.
import { Alert, Button } from '@mantine/core';
import { useState } from 'react';
import { Name } from '../../parts/name.tsx';
import { type Conflict, type CouchRules, idOf } from '../../permission-edits.ts';
import { accessInWords } from '../../roles.ts';
import { type Editing } from './use-edits.ts';

export function Conflicts({ editing: { conflicts, settle } }: { readonly editing: Editing }) {
  const [mine, setMine] = useState<ReadonlyMap<string, boolean>>(new Map());
  const isComplete = conflicts.every((conflict) => mine.has(idOf(conflict)));
  const choose = (conflict: Conflict, isMine: boolean) => setMine(new Map(mine).set(idOf(conflict), isMine));
  return (
    <section className="conflicts" aria-labelledby="conflicts">
      <h2 id="conflicts">Somebody else has saved these permissions meanwhile</h2>
      <p>
        Rows that only one of you changed are merged. You both changed the rows below. Choose for each of
        them, then review and save.
      </p>
      <table className="list">
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Theirs (saved)</th>
            <th scope="col">Mine (not saved)</th>
          </tr>
        </thead>
        <tbody>
          {conflicts.map((conflict) => {
            const id = idOf(conflict);
            const words = wordsOf(conflict);
            return (
              <tr key={id}>
                <th scope="row" data-column="Name">
                  {conflict.kind === 'grants' ? <ConflictName name={conflict.name} /> : 'Decided by CouchDB'}
                </th>
                {(['theirs', 'mine'] as const).map((side) => (
                  <td key={side} data-column={side === 'mine' ? 'Mine' : 'Theirs'}>
                    <label>
                      <input
                        type="radio"
                        name={id}
                        checked={mine.get(id) === (side === 'mine')}
                        onChange={() => choose(conflict, side === 'mine')}
                      />{' '}
                      {words[side]}
                    </label>
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
      <div className="actions">
        <Button
          disabled={!isComplete}
          onClick={() => settle((conflict) => mine.get(idOf(conflict)) === true)}
        >
          Go on with this choice
        </Button>
      </div>
    </section>
  );
}

function ConflictName({ name }: { readonly name: string }) {
  return name === 'nobody' ? <em>Everyone without a password</em> : <Name of={name} />;
}

function wordsOf(conflict: Conflict): { readonly theirs: string; readonly mine: string } {
  if (conflict.kind === 'couch')
    return { theirs: rulesInWords(conflict.theirs), mine: rulesInWords(conflict.mine) };
  return { theirs: accessInWords(conflict.theirs), mine: accessInWords(conflict.mine) };
}

function rulesInWords({ isOn, members }: CouchRules): string {
  if (!isOn) return 'off';
  if (members === undefined) return 'on, closed';
  const count = members.names.length + members.roles.length;
  return count === 0 ? 'on, open to everybody' : `on, ${count} members`;
}

/** Says that edits were carried over to what somebody else has saved. */
export function CarriedOver() {
  return (
    <Alert color="yellow" role="status">
      Somebody else has saved these permissions meanwhile. You see what is saved now, with your changes on it.
      Review them and save.
    </Alert>
  );
}
