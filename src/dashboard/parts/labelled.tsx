// Shows a name below the label of its key.
import { useQuery } from '@tanstack/react-query';
import { keysByNameQuery } from '../queries.ts';
import { useSession } from '../session/session.tsx';
import { Foreign, Name } from './name.tsx';

/** The label of a key, for the owner; empty for names without one. */
export function useLabelOf(): (name: string) => string {
  const { isOwner } = useSession().person;
  const keys = useQuery({ ...keysByNameQuery, enabled: isOwner, staleTime: 60_000 });
  return (name) => keys.data?.get(name)?.label ?? '';
}

/** A label above the name of its key; nothing without one. */
export function Label({ text }: { readonly text: string | null | undefined }) {
  return text === null || text === undefined || text === '' ? null : (
    <span className="label">
      <Foreign text={text} />
    </span>
  );
}

/** A name of a key or a user; owners read keys by their label. */
export function Labelled({ name }: { readonly name: string }) {
  return (
    <>
      <Label text={useLabelOf()(name)} />
      <Name of={name} />
    </>
  );
}
