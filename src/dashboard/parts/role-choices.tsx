// Checkboxes for roles, each with its meaning.
import { Checkbox } from '@mantine/core';
import { inOrder, ROLES } from '../roles.ts';

interface Props {
  readonly legend: string;
  readonly roles: readonly string[];
  readonly onChange: (roles: readonly string[]) => void;
  /** A role that cannot be chosen here. */
  readonly without?: string;
}

export function RoleChoices({ legend, roles, onChange, without }: Props) {
  return (
    <fieldset className="choices">
      <legend>{legend}</legend>
      {ROLES.filter(({ role }) => role !== without).map(({ role, title, meaning }) => (
        <Checkbox
          key={role}
          label={title}
          description={meaning}
          checked={roles.includes(role)}
          onChange={(event) =>
            onChange(
              event.currentTarget.checked ? inOrder([...roles, role]) : roles.filter((each) => each !== role),
            )
          }
        />
      ))}
    </fieldset>
  );
}
