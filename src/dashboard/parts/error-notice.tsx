// Shows a failed request in words, with its request id.
import { Alert, Button } from '@mantine/core';
import { type ReactNode } from 'react';
import { ApiError } from '../api/http.ts';

interface Props {
  readonly error: unknown;
  /** What could not be done. */
  readonly title: string;
  /** Of a change: what to do if nobody knows whether it was made. */
  readonly ifUnknown?: string;
  readonly onRetry?: () => void;
  /** True: what was read before is still shown, below the notice. */
  readonly isOldShown?: boolean;
  readonly children?: ReactNode;
}

/** An alert that screen readers announce. */
export function ErrorNotice({ error, title, ifUnknown, onRetry, isOldShown = false, children }: Props) {
  const known = error instanceof ApiError ? error : undefined;
  const isUnknown = ifUnknown !== undefined && known?.isOutcomeUnknown === true;
  return (
    <Alert
      color={known?.isTemporary === true ? 'yellow' : 'red'}
      role="alert"
      title={isUnknown ? 'It is not known whether it was done' : title}
    >
      <p>{known?.reason ?? 'Something unexpected happened in the page.'}</p>
      {isUnknown && <p>{ifUnknown}</p>}
      {children}
      {isOldShown && <p>Below is what was read before.</p>}
      <RequestId id={known?.requestId} />
      {onRetry !== undefined && known?.isTemporary === true && <p>The page tries again by itself.</p>}
      {onRetry !== undefined && (
        <p>
          <Button size="xs" variant="default" onClick={onRetry}>
            Try again
          </Button>
        </p>
      )}
    </Alert>
  );
}

interface QueryErrorProps {
  readonly query: { readonly isError: boolean; readonly error: unknown; readonly refetch: () => unknown };
  readonly title: string;
  readonly isOldShown?: boolean;
}

/** The notice of a read that failed, with a button that repeats it; nothing if it did not fail. */
export function QueryError({ query, title, isOldShown = false }: QueryErrorProps) {
  if (!query.isError) return null;
  return (
    <ErrorNotice
      error={query.error}
      title={title}
      isOldShown={isOldShown}
      onRetry={() => void query.refetch()}
    />
  );
}

/** The id under which the access log has the request. */
export function RequestId({ id }: { readonly id: string | undefined }) {
  if (id === undefined) return null;
  return (
    <p className="request-id">
      Request <code>{id}</code>
    </p>
  );
}
