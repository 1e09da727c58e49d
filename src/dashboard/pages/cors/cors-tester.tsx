// Asks whether a request of a web page would pass, and which rule refuses it.
import { Alert, Button, NativeSelect, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type SyntheticEvent, useState } from 'react';
import { type CorsQuestion, testCors, type CorsVerdict } from '../../api/cors.ts';
import { ErrorNotice } from '../../parts/error-notice.tsx';
import { Foreign } from '../../parts/name.tsx';
import { replaceParameters, useRoute } from '../../router.ts';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'COPY', 'PATCH'];
const USUAL_HEADERS = 'authorization, content-type';

/** The question is in the address, so that it can be sent to a colleague. */
export function CorsTester() {
  const { parameters } = useRoute();
  const asked = parameters.get('origin');
  const [question, setQuestion] = useState<CorsQuestion>({
    origin: asked ?? '',
    method: parameters.get('method') ?? 'PUT',
    headers: parameters.get('headers') ?? USUAL_HEADERS,
  });
  const sent: CorsQuestion | undefined =
    asked === null
      ? undefined
      : {
          origin: asked,
          method: parameters.get('method') ?? 'PUT',
          headers: parameters.get('headers') ?? '',
        };
  const verdict = useQuery({
    queryKey: ['cors-test', sent],
    queryFn: () => testCors(sent ?? question),
    enabled: sent !== undefined,
    staleTime: 0,
  });
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    replaceParameters({ ...question, origin: question.origin.trim() });
    void verdict.refetch();
  };
  return (
    <section aria-labelledby="cors-test">
      <h2 id="cors-test">Why is my page blocked?</h2>
      <p className="hint">
        Copy the origin from the message in the console of the browser, and see what Couchgate answers it.
      </p>
      <form className="tools" onSubmit={submit}>
        <TextInput
          className="search"
          label="Origin of the page"
          placeholder="https://app.example.com"
          autoComplete="off"
          spellCheck={false}
          required
          value={question.origin}
          onChange={(event) => setQuestion({ ...question, origin: event.currentTarget.value })}
        />
        <NativeSelect
          label="Method"
          data={METHODS}
          value={question.method}
          onChange={(event) => setQuestion({ ...question, method: event.currentTarget.value })}
        />
        <TextInput
          className="search"
          label="Request headers"
          autoComplete="off"
          spellCheck={false}
          value={question.headers}
          onChange={(event) => setQuestion({ ...question, headers: event.currentTarget.value })}
        />
        <Button type="submit" variant="default" loading={verdict.isFetching}>
          Test
        </Button>
      </form>
      {verdict.isError && <ErrorNotice error={verdict.error} title="The test failed" />}
      {verdict.data !== undefined && <Verdict verdict={verdict.data} />}
    </section>
  );
}

function Verdict({ verdict }: { readonly verdict: CorsVerdict }) {
  if (verdict.allowed)
    return (
      <Alert color="green" role="status" title="The browser lets it pass">
        Allowed by {verdict.rule}, {verdict.credentials ? 'with' : 'without'} credentials. If the page still
        fails, the request itself is refused: look at its status in the browser.
      </Alert>
    );
  return (
    <Alert color="red" role="status" title="The browser blocks it">
      <p>
        <Foreign text={sentence(verdict.reason)} />
      </p>
      {verdict.hint !== null && (
        <p>
          <Foreign text={sentence(verdict.hint)} />
        </p>
      )}
    </Alert>
  );
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
