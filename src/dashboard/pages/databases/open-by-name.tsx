// Opens a database by its name, where the server lists none for this person.
import { Button, TextInput } from '@mantine/core';
import { type SyntheticEvent, useState } from 'react';
import { goTo, linkTo } from '../../router.ts';

export function OpenByName() {
  const [name, setName] = useState('');
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (name !== '') goTo(linkTo(['databases', name, 'permissions']));
  };
  return (
    <form className="form narrow" onSubmit={submit}>
      <p>
        Only server admins get the list of databases here. You can change the permissions of a database on
        which you hold <code>_security</code> or <code>_admin</code>.
      </p>
      <TextInput
        label="Name of the database"
        autoComplete="off"
        spellCheck={false}
        value={name}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <div className="actions">
        <Button type="submit" disabled={name === ''}>
          Open its permissions
        </Button>
      </div>
    </form>
  );
}
