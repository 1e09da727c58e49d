// Holds the edits of a permission page, and carries them over when somebody else saves meanwhile.
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { ApiError } from '../../api/http.ts';
import { type Permissions, readPermissions, type Saved, savePermissions } from '../../api/permissions.ts';
import {
  applied,
  type Conflict,
  type CouchRules,
  type Edits,
  hasEdits,
  isSame,
  NO_EDITS,
  rebase,
  resolve,
  setCouchRules,
  setRoles,
  tidied,
} from '../../permission-edits.ts';
import { permissionsQuery } from '../../queries.ts';
import { guardLeaving } from '../../router.ts';

/** Thrown by `save` if somebody else has saved since the permissions were read. Nothing was written. */
export class ChangedMeanwhile extends Error {}

export interface Editing {
  readonly base: Permissions;
  readonly edits: Edits;
  readonly conflicts: readonly Conflict[];
  /** True if somebody else has saved meanwhile and the edits were carried over. */
  readonly wasCarriedOver: boolean;
  readonly set: (name: string, roles: Iterable<string>) => void;
  readonly setCouch: (rules: CouchRules) => void;
  readonly settle: (keepsMine: (conflict: Conflict) => boolean) => void;
  readonly discard: () => void;
  /** Resolves with warnings of the server. Rejects and keeps every edit if it was not saved. */
  readonly save: (reason: string) => Promise<readonly string[]>;
}

interface Held {
  readonly base: Permissions | undefined;
  readonly edits: Edits;
  readonly conflicts: readonly Conflict[];
  readonly wasCarriedOver: boolean;
}

const NOTHING: Held = { base: undefined, edits: NO_EDITS, conflicts: [], wasCarriedOver: false };

/** Reads the permissions; `editing` is undefined until they have arrived. */
export function useEdits(database: string) {
  const query = useQuery(permissionsQuery(database));
  const queries = useQueryClient();
  const [held, setHeld] = useState<Held>(NOTHING);
  const { data } = query;
  // React's way to derive state from a new input: it renders again before anything is shown.
  if (data !== undefined && data !== held.base) setHeld(carriedOver(held, data));
  const isEdited = hasEdits(held.edits);
  useEffect(
    () =>
      isEdited
        ? guardLeaving(() => `The permissions of ${database} have unsaved changes. Leave anyway?`)
        : undefined,
    [isEdited, database],
  );
  const { base } = held;
  if (base === undefined) return { query, editing: undefined };
  const change = (edit: (held: Held & { readonly base: Permissions }) => Partial<Held>): void =>
    setHeld((now) => (now.base === undefined ? now : { ...now, ...edit({ ...now, base: now.base }) }));
  const readAgain = async (): Promise<void> => {
    await queries.invalidateQueries({ queryKey: permissionsQuery(database).queryKey });
    await queries.invalidateQueries({ queryKey: ['history', database] });
  };
  const editing: Editing = {
    ...held,
    base,
    set: (name, roles) =>
      change((now) => ({
        edits: setRoles(now.base.document, now.edits, name, roles),
        wasCarriedOver: false,
      })),
    setCouch: (rules) =>
      change((now) => ({ edits: setCouchRules(now.base.document, now.edits, rules), wasCarriedOver: false })),
    settle: (keepsMine) =>
      change((now) => ({ edits: resolve(now.edits, now.conflicts, keepsMine), conflicts: [] })),
    discard: () => change(() => ({ edits: NO_EDITS, conflicts: [], wasCarriedOver: false })),
    save: async (reason) => {
      const edits = tidied(held.edits);
      change(() => ({ edits }));
      try {
        const { warnings, revision } = await write(database, base, edits, reason);
        // The dialog lets nobody edit meanwhile. The server may write the lists in another form.
        change(() => ({ edits: NO_EDITS }));
        // If the next read fails, the page goes on with what was saved, and not with what was before.
        if (revision !== undefined)
          queries.setQueryData(permissionsQuery(database).queryKey, {
            document: applied(base.document, edits),
            revision,
          });
        await readAgain();
        return warnings;
      } catch (error) {
        if (error instanceof ChangedMeanwhile) await readAgain();
        throw error;
      }
    },
  };
  return { query, editing };
}

function carriedOver({ base, edits, conflicts, wasCarriedOver }: Held, now: Permissions): Held {
  if (base === undefined || !hasEdits(edits)) return { ...NOTHING, base: now };
  const rebased = rebase(edits, now.document, conflicts);
  const isLeft = hasEdits(rebased.edits);
  return { base: now, ...rebased, wasCarriedOver: isLeft && (wasCarriedOver || base !== now) };
}

async function write(
  database: string,
  { document, revision }: Permissions,
  edits: Edits,
  reason: string,
): Promise<Saved> {
  if (revision === undefined) {
    // The server keeps no revisions: reading again leaves the time of one request for a collision.
    const now = await readPermissions(database);
    if (!isSame(now.document, document)) throw new ChangedMeanwhile();
  }
  try {
    return await savePermissions(database, { document: applied(document, edits), revision, reason });
  } catch (error) {
    if (error instanceof ApiError && error.status === 412) throw new ChangedMeanwhile();
    throw error;
  }
}
