// The matrix of names and roles. Every checkbox is reached by Tab; the arrow keys move between neighbours.
import { Button } from '@mantine/core';
import { type KeyboardEvent, memo, type ReactNode } from 'react';
import { type ApiKey } from '../../api/keys.ts';
import { Label } from '../../parts/labelled.tsx';
import { Name } from '../../parts/name.tsx';
import { ROLES } from '../../roles.ts';

interface Props {
  readonly rows: readonly MatrixRow[];
  /** True while CouchDB decides: the roles are kept, without effect. */
  readonly isInert: boolean;
  readonly onChange: (name: string, roles: readonly string[]) => void;
  readonly onForget: (name: string) => void;
}

export interface MatrixRow {
  readonly name: string;
  readonly key: ApiKey | undefined;
  readonly roles: readonly string[];
  /** As saved. */
  readonly before: readonly string[];
}

export function Matrix({ rows, isInert, onChange, onForget }: Props) {
  return (
    <table className={isInert ? 'matrix inert' : 'matrix'} onKeyDown={moveByArrows}>
      <caption className="unseen">Who may do what on this database</caption>
      <thead>
        <tr>
          <th scope="col">Name</th>
          {ROLES.map(({ role, title, meaning, ...rest }) => (
            <th
              key={role}
              scope="col"
              title={meaning}
              className={'grantsAll' in rest ? 'grants-all' : undefined}
            >
              {title}
              <code>{role}</code>
            </th>
          ))}
          <th scope="col">
            <span className="unseen">Remove</span>
          </th>
        </tr>
      </thead>
      <tbody>
        <OwnerRow />
        {rows.map((row) => (
          <Row key={row.name} row={row} isInert={isInert} onChange={onChange} onForget={onForget} />
        ))}
      </tbody>
    </table>
  );
}

function OwnerRow() {
  return (
    <tr>
      <th scope="row">
        Server admins
        <span className="hint below">always everything</span>
      </th>
      {ROLES.map(({ role, title }) => (
        <td key={role}>
          <label>
            <input type="checkbox" checked disabled aria-label={`${title} for server admins, always`} />
            <span className="role-word">{title}</span>
          </label>
        </td>
      ))}
      <td />
    </tr>
  );
}

interface RowProps extends Omit<Props, 'rows'> {
  readonly row: MatrixRow;
}

const Row = memo(function Row({ row, isInert, onChange, onForget }: RowProps) {
  const { name, roles, before } = row;
  const isEveryone = name === 'nobody';
  const isRemoved = roles.length === 0 && before.length > 0 && !isEveryone;
  const words = isEveryone ? 'everyone without a password' : name;
  return (
    <tr className={isRemoved ? 'removed' : undefined} data-name={name}>
      <th scope="row">
        <RowName row={row} />
      </th>
      {ROLES.map(({ role, title }) => {
        const isTicked = roles.includes(role);
        const isChanged = isTicked !== before.includes(role);
        return (
          <td key={role} className={isChanged ? 'changed' : undefined}>
            <label>
              <input
                type="checkbox"
                checked={isTicked}
                disabled={isInert}
                aria-label={`${title} for ${words}`}
                onChange={() =>
                  onChange(name, isTicked ? roles.filter((each) => each !== role) : [...roles, role])
                }
              />
              <span className="role-word">{title}</span>
            </label>
          </td>
        );
      })}
      <td className="row-actions">
        {isRemoved && (
          <Button size="compact-xs" variant="default" onClick={() => onChange(name, before)}>
            Undo
          </Button>
        )}
        {!isRemoved && !isEveryone && (
          <button
            type="button"
            className="remove"
            aria-label={`Remove ${name} from this database`}
            title="Remove from this database"
            disabled={isInert}
            onClick={() => (before.length > 0 ? onChange(name, []) : onForget(name))}
          >
            ✕
          </button>
        )}
      </td>
    </tr>
  );
});

function RowName({ row: { name, key, roles, before } }: { readonly row: MatrixRow }): ReactNode {
  if (name === 'nobody')
    return (
      <>
        <em>Everyone without a password</em>
        <span className="hint below">
          <code>nobody</code>
        </span>
      </>
    );
  const isNew = before.length === 0;
  return (
    <>
      <Label text={key?.label} />
      <Name of={name} />
      {isNew && <span className="tag">{roles.length === 0 ? 'new: tick its roles' : 'new'}</span>}
    </>
  );
}

const STEPS: Readonly<Record<string, readonly [down: number, right: number]>> = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
};

function moveByArrows(event: KeyboardEvent<HTMLTableElement>): void {
  const step = STEPS[event.key];
  const cell = (event.target as Element).closest('td');
  const row = cell?.closest('tr');
  if (step === undefined || cell === null || row == null) return;
  const rows = [...event.currentTarget.rows];
  const [down, right] = step;
  const next = rows[rows.indexOf(row) + down]?.cells[cell.cellIndex + right];
  const box = next?.querySelector<HTMLElement>('input:not(:disabled), button');
  if (box == null) return;
  event.preventDefault();
  box.focus();
}
