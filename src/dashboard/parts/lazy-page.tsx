// Loads the script of a page when it is first opened, so that the first screen stays small.
import { Alert, Button } from '@mantine/core';
import { Component, type ComponentType, lazy, type ReactNode, Suspense } from 'react';
import { Waiting } from './waiting.tsx';

/** Wraps the import of a component: `lazyPage(() => import('./page.tsx').then((module) => module.Page))`. */
export function lazyPage<Props>(load: () => Promise<ComponentType<Props>>) {
  return lazy(async () => ({ default: await load() }));
}

interface FrameProps {
  readonly children: ReactNode;
}

/** Around lazy pages: says that the script is read, and what to do if it cannot be. */
export function LazyFrame({ children }: FrameProps) {
  return (
    <LoadFailure failure={<PageFailure />}>
      <Suspense fallback={<Waiting what="the page" />}>{children}</Suspense>
    </LoadFailure>
  );
}

interface PartProps extends FrameProps {
  /** What is read, for a person who waits: `the comparison`. */
  readonly what: string;
}

/** Around a lazy part of a page: if its script cannot be read, the rest of the page keeps its edits. */
export function LazyPart({ what, children }: PartProps) {
  return (
    <LoadFailure failure={<PartFailure what={what} />}>
      <Suspense fallback={<Waiting what={what} />}>{children}</Suspense>
    </LoadFailure>
  );
}

/** After an upgrade of Couchgate, the script of an open page names files that are gone. */
class LoadFailure extends Component<
  FrameProps & { readonly failure: ReactNode },
  { readonly hasFailed: boolean }
> {
  override state = { hasFailed: false };

  static getDerivedStateFromError() {
    return { hasFailed: true };
  }

  override render(): ReactNode {
    return this.state.hasFailed ? this.props.failure : this.props.children;
  }
}

function PageFailure() {
  return (
    <>
      <h1>The page cannot be shown</h1>
      <Alert color="red" role="alert">
        <p>Couchgate may have been upgraded since you opened the dashboard.</p>
        <LoadAgain />
      </Alert>
    </>
  );
}

function PartFailure({ what }: Pick<PartProps, 'what'>) {
  return (
    <Alert color="red" role="alert" title={`Couchgate did not send ${what}`}>
      <p>
        It may have been upgraded since you opened the dashboard. Your changes are still here: save them
        first.
      </p>
      <LoadAgain />
    </Alert>
  );
}

function LoadAgain() {
  return (
    <Button size="xs" variant="default" onClick={() => location.reload()}>
      Load the dashboard again
    </Button>
  );
}
