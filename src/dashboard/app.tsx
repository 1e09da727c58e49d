// The frame of every page: providers, navigation, and the page that the address names.
import { MantineProvider } from '@mantine/core';
import { notifyManager, QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { ApiError, RETRY_MS } from './api/http.ts';
import { readPerson } from './api/session.ts';
import { hasProbablySession, requestEarly } from './early-requests.ts';
import { Frame, preloadPage } from './frame.tsx';
import { parseRoute } from './router.ts';
import { SessionGate } from './session/session.tsx';
import { theme } from './theme.ts';

// A choice that is saved at once shows its new state before the event ends. With the default (a timer), a
// checkbox jumps back until the timer fires, which a busy browser delays.
notifyManager.setScheduler(queueMicrotask);

const queries = new QueryClient({
  defaultOptions: {
    // Couchgate may run on this machine or in the local network, where a browser that is offline reaches it.
    queries: {
      networkMode: 'always',
      retry: false,
      staleTime: 10_000,
      refetchInterval: (query) => {
        const { error } = query.state;
        return error instanceof ApiError && error.isTemporary ? RETRY_MS : false;
      },
    },
    mutations: { networkMode: 'always', retry: false },
  },
});

// Before anything is rendered: what can run at the same time does.
const first = readPerson();
// SessionGate shows a failure, but only once it is there.
first.catch(() => undefined);
if (hasProbablySession()) requestEarly(queries);
preloadPage(parseRoute(location.hash));

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
        <SessionGate first={first}>
          <Frame />
        </SessionGate>
      </QueryClientProvider>
    </MantineProvider>
  );
}
