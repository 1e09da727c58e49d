// Adds a row for a user name or API key, with completion for the owner.
import { Autocomplete, Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';
import { usersNamed } from '../../api/keys.ts';
import { visible } from '../../parts/name.tsx';
import { keysQuery } from '../../queries.ts';
import { useSession } from '../../session/session.tsx';

interface Props {
  readonly isPresent: (name: string) => boolean;
  readonly onAdd: (name: string) => void;
}

const MOST_SUGGESTED = 20;

export function AddName({ isPresent, onAdd }: Props) {
  const { person } = useSession();
  const [text, setText] = useState('');
  const suggestions = useSuggestions(text, person.isOwner);
  const name = suggestions.nameOf(text.trim());
  const isHere = name !== '' && isPresent(name);
  const isUnknown = person.isOwner && name !== '' && suggestions.isComplete && !suggestions.has(name);
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (name === '' || isHere) return;
    onAdd(name);
    setText('');
  };
  return (
    <form className="add-name" onSubmit={submit}>
      <Autocomplete
        label="User name or API key"
        autoComplete="off"
        spellCheck={false}
        data={suggestions.options.map((option) => option.words)}
        filter={({ options }) => options}
        comboboxProps={{ transitionProps: { duration: 0 } }}
        value={text}
        onChange={setText}
        error={isHere ? 'This name has a row already.' : undefined}
        description={
          isUnknown
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

interface Option {
  readonly name: string;
  readonly words: string;
}

/** Keys by name or label, and users by the beginning of their name. */
function useSuggestions(text: string, isOwner: boolean) {
  const keys = useQuery({ ...keysQuery, enabled: isOwner, staleTime: 60_000 });
  const typed = text.trim();
  const users = useQuery({
    queryKey: ['users', typed],
    queryFn: ({ signal }) => usersNamed(typed, signal),
    enabled: isOwner && typed !== '',
    placeholderData: (before) => before,
  });
  const known: readonly Option[] = (keys.data ?? []).map(({ key, label }) => ({
    name: key,
    words: label === null ? key : `${visible(label)} · ${key}`,
  }));
  const wanted = typed.toLowerCase();
  const options = [
    ...known.filter(({ words }) => words.toLowerCase().includes(wanted)).slice(0, MOST_SUGGESTED),
    ...(users.data ?? []).map((name) => ({ name, words: name })),
  ];
  const unique = [...new Map(options.map((option) => [option.words, option])).values()];
  return {
    options: unique,
    /** The name behind a chosen suggestion; a typed text is the name itself. */
    nameOf: (words: string) => known.find((option) => option.words === words)?.name ?? words,
    has: (name: string) => known.some((option) => option.name === name) || (users.data ?? []).includes(name),
    isComplete: keys.isSuccess && users.isSuccess && !users.isPlaceholderData,
  };
}
