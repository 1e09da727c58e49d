// One database of *Shared with you*: the roles that the person holds on it.
import { memo } from 'react';
import { type AccessEntry } from '../../api/access.ts';
import { type DatabaseInfo } from '../../api/databases.ts';
import { grantsAll, inOrder, titleOf } from '../../roles.ts';
import { linkTo } from '../../router.ts';
import { FactCells } from './fact-cells.tsx';

interface Props {
  readonly name: string;
  readonly info: DatabaseInfo | undefined;
  /** One entry for each source of roles; undefined = not known. */
  readonly held: readonly AccessEntry[] | undefined;
}

export const SharedRow = memo(function SharedRow({ name, info, held }: Props) {
  const roles = inOrder(held?.flatMap((entry) => entry.roles) ?? []);
  const isByCouch = held?.some(({ source }) => source === 'couchdb') === true;
  const isByPrefix = held?.some(({ grant }) => grant !== undefined) === true;
  return (
    <tr>
      <FactCells name={name} info={info} />
      <td data-column="Your roles">
        {roles.map((role) => (
          <span key={role} className="tag" title={role}>
            {titleOf(role)}
          </span>
        ))}
        {isByPrefix && <span className="hint">by prefix</span>}
        {isByCouch && <span className="hint">CouchDB decides</span>}
        {held === undefined && <span className="hint">–</span>}
      </td>
      <td className="row-actions">
        {roles.some(grantsAll) && (
          <a href={linkTo(['databases', name, 'permissions'])} aria-label={`Permissions of ${name}`}>
            Permissions
          </a>
        )}
      </td>
    </tr>
  );
});
