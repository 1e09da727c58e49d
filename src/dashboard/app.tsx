// The frame of every page: providers, navigation, and the page that the address names.
import { MantineProvider } from '@mantine/core';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { ApiError } from './api/http.ts';
import { Frame } from './frame.tsx';
import { SessionGate } from './session/session.tsx';
import { theme } from './theme.ts';

/** While Couchgate or CouchDB is away, a page asks again in this interval. */
const RETRY_MS = 3000;

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      retry: false,
      staleTime: 10_000,
      refetchInterval: (query) => {
        const { error } = query.state;
        return error instanceof ApiError && error.isTemporary ? RETRY_MS : false;
      },
    },
    mutations: { retry: false },
  },
});

export function App() {
  return (
    // Variables and classes are in files: the policy allows no styles inside the page.
    <MantineProvider
      theme={theme}
      defaultColorScheme="auto"
      withCssVariables={false}
      withGlobalClasses={false}
    >
      <QueryClientProvider client={queries}>
        <SessionGate>
          <Frame />
        </SessionGate>
      </QueryClientProvider>
    </MantineProvider>
  );
}
