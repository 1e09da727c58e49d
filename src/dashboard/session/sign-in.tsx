// The sign-in page, and the dialog that asks again when the session has ended.
import { Alert, Button, PasswordInput, TextInput } from '@mantine/core';
import { Dialog } from '../parts/dialog.tsx';
import { type ReactNode, type SyntheticEvent, useState } from 'react';
import { ApiError } from '../api/http.ts';
import { type Person, signIn } from '../api/session.ts';
import { RequestId } from '../parts/error-notice.tsx';
import { Logo } from '../parts/logo.tsx';
import { Name, visible } from '../parts/name.tsx';

interface FormProps {
  /** The only name that may sign in; undefined = any. */
  readonly fixedName?: string;
  /** Called with the name when the browser has the session, before the server has said whose it is. */
  readonly onAccepted?: (name: string) => void;
  readonly onSignedIn: (person: Person) => void;
  readonly children?: ReactNode;
}

/** Asks for name and password; a refusal is shown above the button and moves the focus nowhere. */
function SignInForm({ fixedName, onAccepted = () => undefined, onSignedIn, children }: FormProps) {
  const [name, setName] = useState(fixedName ?? '');
  const [password, setPassword] = useState('');
  const [error, setError] = useState<unknown>();
  const [isSending, setSending] = useState(false);
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    setSending(true);
    signIn(name, password, () => onAccepted(name))
      .then(onSignedIn, setError)
      .finally(() => setSending(false));
  };
  return (
    <form className="form" onSubmit={submit}>
      <TextInput
        label="Name"
        name="username"
        autoComplete="username"
        autoCapitalize="none"
        spellCheck={false}
        required
        readOnly={fixedName !== undefined}
        data-autofocus={fixedName === undefined || undefined}
        autoFocus={fixedName === undefined}
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <PasswordInput
        label="Password"
        name="password"
        autoComplete="current-password"
        required
        data-autofocus={fixedName !== undefined || undefined}
        value={password}
        onChange={(event) => setPassword(event.currentTarget.value)}
      />
      {error !== undefined && <SignInError error={error} />}
      <div className="actions">
        <Button type="submit" loading={isSending}>
          Sign in
        </Button>
        {children}
      </div>
    </form>
  );
}

function SignInError({ error }: { readonly error: unknown }) {
  const known = error instanceof ApiError ? error : undefined;
  return (
    <Alert color="red" role="alert">
      {known?.reason ?? 'The sign-in failed.'}
      <RequestId id={known?.requestId} />
    </Alert>
  );
}

/** The page for nobody. */
export function SignInPage(handlers: Required<Pick<FormProps, 'onAccepted' | 'onSignedIn'>>) {
  return (
    <main className="sign-in">
      <Logo />
      <h1>Sign in</h1>
      <p className="hint">
        For CouchDB server admins, and for users who hold a role on a database. API keys have no access to the
        dashboard.
      </p>
      <SignInForm {...handlers} />
    </main>
  );
}

interface OtherProps {
  readonly person: Person;
  readonly other: string;
}

/** The dialog over a page whose session is another person's now: nothing is done in the wrong name. */
export function OtherPerson({ person, other }: OtherProps) {
  return (
    <Dialog title="Somebody else has signed in" isLocked>
      <p>
        In another tab, <Name of={other} /> has signed in. All tabs share the session: this page can do
        nothing more as <Name of={person.name} />.
      </p>
      <p className="hint">
        To go on here, sign in as {visible(person.name)} in the other tab. What you have not saved is still
        there.
      </p>
      <div className="actions">
        <Button variant="default" onClick={() => location.reload()}>
          Load the page as {visible(other)}
        </Button>
      </div>
    </Dialog>
  );
}

interface AgainProps {
  readonly person: Person;
  readonly onSignedIn: () => void;
  readonly onLeave: () => void;
}

/** The dialog over a page whose session has ended. Only the same person may go on with its edits. */
export function SignInAgain({ person, onSignedIn, onLeave }: AgainProps) {
  return (
    <Dialog title="Your session has ended" isLocked>
      <p className="hint">Sign in again to go on. What you have not saved is still there.</p>
      <SignInForm fixedName={person.name} onSignedIn={onSignedIn}>
        <Button variant="subtle" color="gray" onClick={onLeave}>
          Leave without saving
        </Button>
      </SignInForm>
    </Dialog>
  );
}
