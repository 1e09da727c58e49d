// The session of the person at the dashboard.
import { ApiError, call } from './http.ts';

/** Who is signed in. */
export interface Person {
  readonly name: string;
  /** Roles of the user document; API keys cannot sign in here. */
  readonly roles: readonly string[];
  /** True for a server admin of CouchDB: the owner. */
  readonly isOwner: boolean;
}

interface SessionBody {
  readonly userCtx: { readonly name: string | null; readonly roles: readonly string[] };
}

/** Resolves with null if nobody is signed in. */
export async function readPerson(): Promise<Person | null> {
  const { body } = await call<SessionBody>({ path: '_session' });
  const { name, roles } = body.userCtx;
  return name === null ? null : { name, roles, isOwner: roles.includes('_admin') };
}

/**
 * Signs in. `onAccepted` is called as soon as the browser has the session. Rejects with an ApiError whose
 * reason is a sentence for the person.
 */
export async function signIn(name: string, password: string, onAccepted: () => void): Promise<Person> {
  await call({ method: 'POST', path: '_session', body: { name, password } });
  onAccepted();
  const person = await readPerson();
  // A browser that refuses cookies answers the sign-in, and shows nobody afterwards.
  if (person === null)
    throw new ApiError(401, 'unauthorized', 'The browser did not keep the session cookie.', undefined);
  return person;
}

/** Ends the session on every replica of Couchgate. */
export async function signOut(): Promise<void> {
  await call({ method: 'DELETE', path: '_session' });
}
