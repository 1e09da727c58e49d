// What everybody sees of a database in the list: its name, its documents and its size.
import { type DatabaseInfo } from '../../api/databases.ts';
import { Name } from '../../parts/name.tsx';
import { sizeInWords } from '../../parts/size.ts';
import { linkTo } from '../../router.ts';

interface Props {
  readonly name: string;
  readonly info: DatabaseInfo | undefined;
}

export function FactCells({ name, info }: Props) {
  return (
    <>
      <th scope="row" data-column="Name">
        <a href={linkTo(['databases', name, 'documents'])}>
          <Name of={name} />
        </a>
        {info?.isPartitioned === true && <span className="tag">partitioned</span>}
        {name.startsWith('_') && <span className="tag">system</span>}
      </th>
      <td className="number" data-column="Documents">
        {info?.documents.toLocaleString('en') ?? '–'}
      </td>
      <td className="number" data-column="Size">
        {info === undefined || isUnknown(info) ? '–' : sizeInWords(info.size)}
      </td>
    </>
  );
}

/** The embedded node counts no bytes. */
function isUnknown({ size, documents }: DatabaseInfo): boolean {
  return size === 0 && documents > 0;
}
