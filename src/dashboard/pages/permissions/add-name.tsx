// Adds a row for a user name or API key.
import { Button } from '@mantine/core';
import { type SyntheticEvent, useState } from 'react';
import { PrincipalField, usePrincipal } from '../../parts/principal-field.tsx';

interface Props {
  readonly isPresent: (name: string) => boolean;
  readonly onAdd: (name: string) => void;
}

export function AddName({ isPresent, onAdd }: Props) {
  const [text, setText] = useState('');
  const choice = usePrincipal(text);
  const { name } = choice;
  const isHere = name !== '' && isPresent(name);
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (name === '' || isHere) return;
    onAdd(name);
    setText('');
  };
  return (
    <form className="add-name" onSubmit={submit}>
      <PrincipalField
        label="User name or API key"
        choice={choice}
        text={text}
        onChange={setText}
        error={isHere ? 'This name has a row already.' : undefined}
        description={
          choice.isUnknown
            ? 'No key and no user has this name. The grant takes effect for whoever gets it.'
            : undefined
        }
      />
      <Button type="submit" variant="default" disabled={name === '' || isHere}>
        Add
      </Button>
    </form>
  );
}
