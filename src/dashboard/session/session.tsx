// Holds who is signed in, and asks for a sign-in when the session has ended.
import { useQueryClient } from '@tanstack/react-query';
import { createContext, type ReactNode, use, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { ApiError, onSessionEnd, RETRY_MS } from '../api/http.ts';
import { type Person, readPerson, signOut } from '../api/session.ts';
import { rememberSession, requestEarly } from '../early-requests.ts';
import { ErrorNotice } from '../parts/error-notice.tsx';
import { Waiting } from '../parts/waiting.tsx';
import { mayLeave } from '../router.ts';
import { OtherPerson, SignInAgain, SignInPage } from './sign-in.tsx';
import { onSignInElsewhere, tellTabs } from './tabs.ts';

interface Session {
  readonly person: Person;
  readonly leave: () => Promise<void>;
}

const SessionContext = createContext<Session | undefined>(undefined);

/** The session. Only components below SessionGate may call it. */
export function useSession(): Session {
  const session = use(SessionContext);
  if (session === undefined) throw new Error('nobody is signed in');
  return session;
}

type State =
  { readonly kind: 'reading' } | { readonly kind: 'failed'; readonly error: unknown } | SignedState;
interface SignedState {
  readonly kind: 'known';
  readonly person: Person | null;
}

/** Requests that wait for a sign-in. */
interface Waiter {
  resolve(): void;
  reject(reason: Error): void;
}

interface GateProps {
  /** Whose session it is, as it was asked before the page was there. */
  readonly first: Promise<Person | null>;
  readonly children: ReactNode;
}

/**
 * Shows the sign-in page to nobody, and `children` to everybody else. When the session ends, `children` stay
 * mounted below a dialog, so that edits survive.
 */
export function SessionGate({ first, children }: GateProps) {
  const [state, setState] = useState<State>({ kind: 'reading' });
  const queries = useQueryClient();
  const take = useCallback((answer: Promise<Person | null>) => {
    answer.then(
      (person) => {
        rememberSession(person !== null);
        if (person !== null) tellTabs(person.name);
        setState({ kind: 'known', person });
      },
      (error: unknown) => setState({ kind: 'failed', error }),
    );
  }, []);
  useEffect(() => take(first), [take, first]);
  useEffect(() => {
    const isAway = state.kind === 'failed' && state.error instanceof ApiError && state.error.isTemporary;
    if (!isAway) return undefined;
    const timer = window.setTimeout(() => take(readPerson()), RETRY_MS);
    return () => window.clearTimeout(timer);
  }, [state, take]);

  const forget = useCallback(() => {
    queries.clear();
    rememberSession(false);
    setState({ kind: 'known', person: null });
  }, [queries]);
  const { isExpired, finish, giveUp } = useExpiry();
  const person = state.kind === 'known' ? state.person : null;
  const other = useOther(person, finish);
  const session = useMemo<Session | undefined>(
    () =>
      person === null
        ? undefined
        : {
            person,
            leave: async () => {
              if (!mayLeave()) return;
              await signOut();
              forget();
            },
          },
    [person, forget],
  );

  if (state.kind === 'reading' || state.kind === 'failed')
    return (
      <main className="page">
        <h1 className="unseen">Couchgate</h1>
        {state.kind === 'reading' ? (
          <Waiting what="your session" />
        ) : (
          <ErrorNotice
            error={state.error}
            title="Couchgate does not answer"
            onRetry={() => take(readPerson())}
          />
        )}
      </main>
    );
  if (person === null || session === undefined)
    return (
      <SignInPage
        onAccepted={(name) => {
          // The cookie of all tabs is changed now, also if the next answer is lost.
          tellTabs(name);
          // An early request may have found no session.
          finish();
          requestEarly(queries);
        }}
        onSignedIn={(signedIn) => {
          rememberSession(true);
          setState({ kind: 'known', person: signedIn });
        }}
      />
    );
  return (
    <SessionContext value={session}>
      {children}
      {other !== undefined && <OtherPerson person={person} other={other} />}
      {isExpired && other === undefined && (
        <SignInAgain
          person={person}
          onSignedIn={() => {
            finish();
            tellTabs(person.name);
          }}
          onLeave={() => {
            giveUp();
            forget();
          }}
        />
      )}
    </SessionContext>
  );
}

/**
 * The name of another person who has signed in in another tab since this one was opened. `onSame` is called
 * when the person of this tab has.
 */
function useOther(person: Person | null, onSame: () => void): string | undefined {
  const [other, setOther] = useState<string>();
  useEffect(() => {
    if (person === null) return undefined;
    const end = onSignInElsewhere((name) => {
      const isSame = name === person.name;
      setOther(isSame ? undefined : name);
      if (isSame) onSame();
    });
    return () => {
      end();
      setOther(undefined);
    };
  }, [person, onSame]);
  return other;
}

/** Collects the requests that found the session ended, until somebody signs in again. */
function useExpiry(): {
  readonly isExpired: boolean;
  readonly finish: () => void;
  readonly giveUp: () => void;
} {
  const [isExpired, setExpired] = useState(false);
  const waiters = useRef<Waiter[]>([]);
  useEffect(() => {
    onSessionEnd(
      () =>
        new Promise((resolve, reject) => {
          waiters.current.push({ resolve, reject });
          setExpired(true);
        }),
    );
  }, []);
  const settle = useCallback((act: (waiter: Waiter) => void): void => {
    setExpired(false);
    for (const waiter of waiters.current.splice(0)) act(waiter);
  }, []);
  const finish = useCallback(() => settle((waiter) => waiter.resolve()), [settle]);
  return {
    isExpired,
    finish,
    giveUp: () => settle((waiter) => waiter.reject(new Error('signed out'))),
  };
}
