// Asks for a user name or API key, with completion for the owner.
import { Autocomplete } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode } from 'react';
import { MAX_USERS, usersNamed } from '../api/users.ts';
import { areAllKeysQuery, foundKeysQuery, keysQuery } from '../queries.ts';
import { useSession } from '../session/session.tsx';
import { visible } from './name.tsx';

interface Option {
  readonly name: string;
  readonly words: string;
}

export interface PrincipalChoice {
  readonly options: readonly Option[];
  /** True if more names match. */
  readonly hasMore: boolean;
  /** The name that is typed, or that stands behind a chosen suggestion. */
  readonly name: string;
  /** True if neither a key nor a user has the name, as far as the person may know. */
  readonly isUnknown: boolean;
  /** True if a key, a user or one of the names of the page is known to have it. */
  readonly isKnown: boolean;
}

const NONE: readonly Option[] = [];
const MAX_SUGGESTED = 20;
/** Between label and name of a suggestion. */
const SEPARATOR = ' · ';

interface Extent {
  /** Names that are suggested to everybody, such as those of the page. */
  readonly extra?: readonly Option[];
  /** True: no users. */
  readonly onlyKeys?: boolean;
}

/** Beyond the keys that are listed, the server looks for those that match. */
export function usePrincipal(text: string, { extra = NONE, onlyKeys = false }: Extent = {}): PrincipalChoice {
  const { isOwner } = useSession().person;
  const keys = useQuery({ ...keysQuery, enabled: isOwner, staleTime: 60_000 });
  const typed = text.trim();
  const users = useQuery({
    queryKey: ['users', typed],
    queryFn: ({ signal }) => usersNamed(typed, signal),
    enabled: isOwner && !onlyKeys && typed !== '',
    placeholderData: (before) => before,
  });
  // If there are too many keys to read all of them, the server looks for the text.
  const areAll = useQuery({ ...areAllKeysQuery, enabled: isOwner, staleTime: 60_000 }).data ?? true;
  const sought = useQuery({
    ...foundKeysQuery(MAX_SUGGESTED, nameIn(typed)),
    enabled: isOwner && !areAll && typed !== '',
    placeholderData: (before) => before,
  });
  const known: readonly Option[] = [
    ...extra,
    ...[...(keys.data ?? []), ...(sought.data?.keys ?? [])].map(({ key, label }) => ({
      name: key,
      words: label === null ? key : `${visible(label)}${SEPARATOR}${key}`,
    })),
  ];
  const wanted = typed.toLowerCase();
  const matching = known.filter(({ words }) => words.toLowerCase().includes(wanted));
  const options = [
    ...matching.slice(0, MAX_SUGGESTED),
    ...(users.data ?? []).map((name) => ({ name, words: name })),
  ];
  const name = known.find(({ words }) => words === typed)?.name ?? typed;
  const isSought = areAll || (sought.data?.isComplete === true && !sought.isPlaceholderData);
  const areUsersRead = onlyKeys || (users.isSuccess && !users.isPlaceholderData);
  const isComplete = keys.isSuccess && isSought && areUsersRead;
  const isKnown = known.some((option) => option.name === name) || (users.data ?? []).includes(name);
  return {
    options: [...new Map(options.map((option) => [option.words, option])).values()],
    name,
    hasMore:
      matching.length > MAX_SUGGESTED ||
      sought.data?.isComplete === false ||
      (users.data ?? []).length >= MAX_USERS,
    isUnknown: isOwner && name !== '' && isComplete && !isKnown,
    isKnown,
  };
}

/** A chosen suggestion has the label before the name. */
function nameIn(typed: string): string {
  const at = typed.lastIndexOf(SEPARATOR);
  return at === -1 ? typed : typed.slice(at + SEPARATOR.length);
}

interface Props {
  readonly label: string;
  readonly choice: PrincipalChoice;
  readonly text: string;
  readonly onChange: (text: string) => void;
  readonly description?: string | undefined;
  readonly error?: ReactNode;
  readonly isRequired?: boolean;
  readonly placeholder?: string;
  readonly isDisabled?: boolean;
}

export function PrincipalField({
  label,
  choice,
  text,
  onChange,
  description,
  error,
  isRequired,
  placeholder,
  isDisabled,
}: Props) {
  return (
    <Autocomplete
      label={label}
      autoComplete="off"
      spellCheck={false}
      {...(placeholder === undefined ? {} : { placeholder })}
      required={isRequired === true}
      withAsterisk={false}
      disabled={isDisabled === true}
      data={[
        ...choice.options.map(({ words }) => words),
        ...(choice.hasMore ? [{ value: 'More names match: type on', disabled: true }] : []),
      ]}
      filter={({ options }) => options}
      comboboxProps={{ transitionProps: { duration: 0 } }}
      value={text}
      onChange={onChange}
      error={error}
      description={description}
    />
  );
}
