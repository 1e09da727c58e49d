// Navigation beside the page, and the choice of the page by the address.
import { ActionIcon, Menu, useMantineColorScheme } from '@mantine/core';
import { type ReactNode, useEffect, useRef } from 'react';
import { AccountPage } from './pages/account.tsx';
import { DatabasesPage } from './pages/databases/databases-page.tsx';
import { KeyPage } from './pages/keys/key-page.tsx';
import { KeysPage } from './pages/keys/keys-page.tsx';
import { PermissionsPage } from './pages/permissions/permissions-page.tsx';
import { LazyFrame, lazyPage } from './parts/lazy-page.tsx';
import { Logo } from './parts/logo.tsx';
import { Name } from './parts/name.tsx';
import { linkTo, type Route, useRoute } from './router.ts';
import { useSession } from './session/session.tsx';

interface Place {
  readonly title: string;
  readonly segments: readonly string[];
  readonly ownerOnly?: boolean;
}

const PLACES: readonly Place[] = [
  { title: 'Databases', segments: ['databases'] },
  { title: 'API keys', segments: ['keys'], ownerOnly: true },
  { title: 'Users', segments: ['users'], ownerOnly: true },
  { title: 'Grants', segments: ['grants'], ownerOnly: true },
  { title: 'Access log', segments: ['log'], ownerOnly: true },
  { title: 'Backups', segments: ['backups'], ownerOnly: true },
  { title: 'CORS', segments: ['cors'], ownerOnly: true },
  { title: 'Addresses', segments: ['addresses'], ownerOnly: true },
  { title: 'Cluster', segments: ['cluster'], ownerOnly: true },
];

/** The scripts of the pages that are not part of the first one. */
const SCRIPTS = {
  documents: () => import('./pages/documents/documents-page.tsx'),
  document: () => import('./pages/documents/document-page.tsx'),
  users: () => import('./pages/users/users-page.tsx'),
  user: () => import('./pages/users/user-page.tsx'),
  grants: () => import('./pages/grants/grants-page.tsx'),
  log: () => import('./pages/log/log-page.tsx'),
  backups: () => import('./pages/backups/backups-page.tsx'),
  cors: () => import('./pages/cors/cors-page.tsx'),
  addresses: () => import('./pages/addresses/addresses-page.tsx'),
  cluster: () => import('./pages/cluster/cluster-page.tsx'),
} as const;

const DocumentsPage = lazyPage(() => SCRIPTS.documents().then((page) => page.DocumentsPage));
const DocumentPage = lazyPage(() => SCRIPTS.document().then((page) => page.DocumentPage));
const UsersPage = lazyPage(() => SCRIPTS.users().then((page) => page.UsersPage));
const UserPage = lazyPage(() => SCRIPTS.user().then((page) => page.UserPage));
const GrantsPage = lazyPage(() => SCRIPTS.grants().then((page) => page.GrantsPage));
const LogPage = lazyPage(() => SCRIPTS.log().then((page) => page.LogPage));
const BackupsPage = lazyPage(() => SCRIPTS.backups().then((page) => page.BackupsPage));
const CorsPage = lazyPage(() => SCRIPTS.cors().then((page) => page.CorsPage));
const AddressesPage = lazyPage(() => SCRIPTS.addresses().then((page) => page.AddressesPage));
const ClusterPage = lazyPage(() => SCRIPTS.cluster().then((page) => page.ClusterPage));

/**
 * Loads the script of the page that the address names, while the session is read. A failure is shown when
 * the page itself asks for the script.
 */
export function preloadPage({ segments }: Route): void {
  const [first = '', name, view, id] = segments;
  const isDocuments = first === 'databases' && view === 'documents';
  const script = isDocuments
    ? id === undefined
      ? 'documents'
      : 'document'
    : first === 'users' && name !== undefined
      ? 'user'
      : first;
  if (Object.hasOwn(SCRIPTS, script)) SCRIPTS[script as keyof typeof SCRIPTS]().catch(() => undefined);
}

export function Frame() {
  const route = useRoute();
  const { person } = useSession();
  const main = useRef<HTMLElement>(null);
  const path = route.segments.join('/');
  const [first = 'databases'] = route.segments;
  // A new page starts at its top, for the eye and for the screen reader.
  useEffect(() => {
    main.current?.focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }, [path]);
  return (
    <div className="frame">
      <header className="top">
        <a
          className="skip"
          href={`#${location.hash.slice(1)}`}
          onClick={(event) => {
            event.preventDefault();
            main.current?.focus();
          }}
        >
          Skip to the page
        </a>
        <a className="home" href={linkTo([])}>
          <Logo />
        </a>
        <nav aria-label="Pages">
          {PLACES.filter(({ ownerOnly }) => ownerOnly !== true || person.isOwner).map((place) => (
            <a
              key={place.title}
              href={linkTo(place.segments)}
              aria-current={first === place.segments[0] ? 'page' : undefined}
            >
              {place.title}
            </a>
          ))}
        </nav>
        <div className="who">
          <ThemeMenu />
          <a
            href={linkTo(['account'])}
            className="me"
            aria-current={first === 'account' ? 'page' : undefined}
          >
            Account <Name of={person.name} />
          </a>
        </div>
      </header>
      <main ref={main} tabIndex={-1} className="page" key={person.name}>
        <LazyFrame key={first}>{pageOf(route, person.isOwner)}</LazyFrame>
      </main>
    </div>
  );
}

function pageOf({ segments }: Route, isOwner: boolean): ReactNode {
  const [first = 'databases', name, view, id] = segments;
  // Cloudant's addresses had `database` and no name for the view.
  if (first === 'databases' || first === 'database') {
    if (name === undefined) return <DatabasesPage />;
    if (view === 'documents')
      return id === undefined ? (
        <DocumentsPage key={name} database={name} />
      ) : (
        <DocumentPage key={`${name} ${id}`} database={name} id={id} />
      );
    if (view === undefined || view === 'permissions') return <PermissionsPage key={name} database={name} />;
  }
  if (first === 'keys' && isOwner)
    return name === undefined ? <KeysPage /> : <KeyPage key={name} name={name} />;
  if (first === 'users' && isOwner)
    return name === undefined ? <UsersPage /> : <UserPage key={name} name={name} />;
  if (first === 'grants' && isOwner) return <GrantsPage />;
  if (first === 'log' && isOwner) return <LogPage />;
  if (first === 'backups' && isOwner) return <BackupsPage />;
  if (first === 'cors' && isOwner) return <CorsPage />;
  if (first === 'addresses' && isOwner) return <AddressesPage />;
  if (first === 'cluster' && isOwner) return <ClusterPage />;
  if (first === 'account') return <AccountPage />;
  return <NoPage />;
}

function NoPage() {
  return (
    <>
      <h1>No such page</h1>
      <p>
        The address names no page of the dashboard. <a href={linkTo([])}>Go to the first page</a>
      </p>
    </>
  );
}

const THEMES = { auto: 'As the system', light: 'Light', dark: 'Dark' } as const;

function ThemeMenu() {
  const { colorScheme, setColorScheme } = useMantineColorScheme({ keepTransitions: true });
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <ActionIcon aria-label="Theme" size="lg">
          <svg viewBox="0 0 20 20" width="16" height="16" aria-hidden="true">
            <circle cx="10" cy="10" r="7.5" fill="none" stroke="currentColor" strokeWidth="1.6" />
            <path d="M10 2.5a7.5 7.5 0 0 1 0 15z" fill="currentColor" />
          </svg>
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {(['auto', 'light', 'dark'] as const).map((scheme) => (
          <Menu.Item
            key={scheme}
            role="menuitemradio"
            aria-checked={colorScheme === scheme}
            onClick={() => setColorScheme(scheme)}
          >
            {colorScheme === scheme ? '✓ ' : ''}
            {THEMES[scheme]}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}
