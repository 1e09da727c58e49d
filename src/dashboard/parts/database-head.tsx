// The head of the pages of one database: the way back, its views, and its URL.
import { API_ROOT } from '../api/http.ts';
import { linkTo } from '../router.ts';
import { useSession } from '../session/session.tsx';
import { CopyButton } from './copy-button.tsx';
import { visible } from './name.tsx';

export type DatabaseView = 'documents' | 'permissions' | 'test' | 'history';

interface Props {
  readonly database: string;
  /** The view that is shown; undefined = a page below one of them. */
  readonly view?: DatabaseView;
  /** `Permissions of fruit`. */
  readonly title: string;
  readonly hasHistory?: boolean;
}

export function DatabaseHead({ database, view, title, hasHistory = false }: Props) {
  const { isOwner } = useSession().person;
  const url = `${API_ROOT}${encodeURIComponent(database)}`;
  return (
    <>
      <p className="crumbs">
        <a href={linkTo(['databases'])}>Databases</a>
      </p>
      <div className="head">
        <h1>{visible(title)}</h1>
        <span className="url">
          <code>{url}</code>
          <CopyButton text={url} what="the URL of the database" />
        </span>
      </div>
      <nav className="tabs" aria-label="Views of the database">
        <Tab
          words="Documents"
          link={linkTo(['databases', database, 'documents'])}
          isHere={view === 'documents'}
        />
        <Tab
          words="Permissions"
          link={linkTo(['databases', database, 'permissions'])}
          isHere={view === 'permissions'}
        />
        <Tab
          words="Test access"
          link={linkTo(['databases', database, 'permissions'], { show: 'test' })}
          isHere={view === 'test'}
        />
        {(hasHistory || isOwner) && (
          <Tab
            words="History"
            link={linkTo(['databases', database, 'permissions'], { show: 'history' })}
            isHere={view === 'history'}
          />
        )}
      </nav>
    </>
  );
}

interface TabProps {
  readonly words: string;
  readonly link: string;
  readonly isHere: boolean;
}

export function Tab({ words, link, isHere }: TabProps) {
  return (
    <a href={link} aria-current={isHere ? 'page' : undefined}>
      {words}
    </a>
  );
}
