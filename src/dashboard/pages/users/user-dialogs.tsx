// The dialogs that create and change a user.
import { PasswordInput, Textarea, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { type ComponentProps, useState } from 'react';
import { ApiError } from '../../api/http.ts';
import { changeUser, createUser } from '../../api/users.ts';
import { RequestId } from '../../parts/error-notice.tsx';
import { FormDialog } from '../../parts/form-dialog.tsx';
import { Name } from '../../parts/name.tsx';
import { goTo, linkTo } from '../../router.ts';
import { USERS_KEY } from './users-page.tsx';

/** Shorter ones are found by guessing. */
const MIN_PASSWORD_LENGTH = 12;

interface FormProps extends Omit<ComponentProps<typeof FormDialog>, 'failed' | 'run'> {
  readonly save: () => Promise<void>;
}

function UserDialog({ save, onClose, ...form }: FormProps) {
  const queries = useQueryClient();
  const run = async (): Promise<void> => {
    // Also after a failure, which what is shown may explain.
    await save().finally(() => queries.invalidateQueries({ queryKey: USERS_KEY }));
    onClose();
  };
  return <FormDialog {...form} failed="Nothing was changed" run={run} onClose={onClose} />;
}

/** One role a line: it may contain blanks and commas. Roles that the user has stay as they are. */
function rolesIn(text: string, before: readonly string[] = []): readonly string[] {
  const lines = text.split('\n').map((line) => (before.includes(line) ? line : line.trim()));
  return [...new Set(lines.filter((role) => role !== ''))];
}

function rolesProblem(text: string): string | undefined {
  return rolesIn(text).some((role) => role.startsWith('_'))
    ? 'CouchDB keeps names that begin with an underscore for itself. Grant database roles on the page Permissions.'
    : undefined;
}

interface RolesProps {
  readonly value: string;
  readonly onChange: (text: string) => void;
}

function RolesField({ value, onChange }: RolesProps) {
  return (
    <Textarea
      label="Roles in CouchDB"
      description="Names of your own for validation functions and for databases that CouchDB decides about; mostly empty. One a line."
      rows={3}
      autoComplete="off"
      spellCheck={false}
      value={value}
      error={rolesProblem(value)}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}

interface PasswordProps {
  readonly value: string;
  readonly onChange: (text: string) => void;
}

function PasswordField({ value, onChange }: PasswordProps) {
  return (
    <PasswordInput
      label="Password"
      description={`At least ${MIN_PASSWORD_LENGTH} characters. It is not shown again.`}
      autoComplete="new-password"
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}

export function CreateUser({ onClose }: { readonly onClose: () => void }) {
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const [roles, setRoles] = useState('');
  const [refusal, setRefusal] = useState<ApiError>();
  return (
    <UserDialog
      title="Create user"
      action="Create user"
      isReady={name !== '' && password.length >= MIN_PASSWORD_LENGTH && rolesProblem(roles) === undefined}
      save={async () => {
        await createUser({ name, password, roles: rolesIn(roles) });
        goTo(linkTo(['users', name]));
      }}
      place={(error) => {
        if (!(error instanceof ApiError) || (error.status !== 403 && error.status !== 409)) return false;
        setRefusal(error);
        return true;
      }}
      onClose={onClose}
    >
      <TextInput
        label="Name"
        autoComplete="off"
        autoCapitalize="none"
        spellCheck={false}
        data-autofocus
        value={name}
        error={refusal?.status === 409 ? 'A user with this name exists.' : refusal?.reason}
        onChange={(event) => {
          setName(event.currentTarget.value);
          setRefusal(undefined);
        }}
      />
      <RequestId id={refusal?.requestId} />
      <PasswordField value={password} onChange={setPassword} />
      <RolesField value={roles} onChange={setRoles} />
    </UserDialog>
  );
}

interface ChangeProps {
  readonly name: string;
  readonly onClose: () => void;
}

export function SetPassword({ name, onClose }: ChangeProps) {
  const [password, setPassword] = useState('');
  return (
    <UserDialog
      title="Change password"
      action="Set password"
      isReady={password.length >= MIN_PASSWORD_LENGTH}
      save={() => changeUser(name, { password })}
      onClose={onClose}
    >
      <p>
        The old password of <Name of={name} /> stops working at once, and its sessions end.
      </p>
      <PasswordField value={password} onChange={setPassword} />
    </UserDialog>
  );
}

export function ChangeRoles({ name, roles, onClose }: ChangeProps & { readonly roles: readonly string[] }) {
  // What was shown when the dialog opened: the page may read other roles meanwhile.
  const [before] = useState(roles);
  const [text, setText] = useState(before.join('\n'));
  const hasLines = before.some((role) => role.includes('\n'));
  return (
    <UserDialog
      title="Change roles"
      action="Save"
      isReady={!hasLines && rolesProblem(text) === undefined}
      save={() => changeUser(name, { roles: rolesIn(text, before) }, before)}
      onClose={onClose}
    >
      {hasLines && <p>A role of this user has a line break: change the roles with another program.</p>}
      <RolesField value={text} onChange={setText} />
    </UserDialog>
  );
}
