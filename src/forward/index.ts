// Builds the step that forwards permitted requests to CouchDB and returns CouchDB's answers.
import { type RequestHandler } from 'express';
import { callerOf, contextOf, known, permitted } from '../context.ts';
import { quotaKeyOf } from '../principal/caller.ts';
import { type RevocationWatch } from '../revocation/revocation-watch.ts';
import { RunningExchanges } from '../revocation/running-exchanges.ts';
import { hasFeed } from './connection-plan.ts';
import { createCouchProxy } from './couch-proxy.ts';
import { Exchange, type ExchangeServices } from './exchange.ts';
import { Feeds } from './feeds.ts';
import { Heartbeats } from './heartbeats.ts';
import { WriteBatch } from './write-batch.ts';

/** A client that reads at all empties a part of its buffers in this time. */
const UNREAD_MS = 15_000;

type Created = 'proxy' | 'feeds' | 'running' | 'writes' | 'unreadMs';

export interface ForwardingOptions extends Omit<ExchangeServices, Created> {
  /** Longest time, in ms, that a client may read nothing of an answer that CouchDB keeps in memory. */
  readonly unreadMs?: number;
  readonly revocationWatch: Pick<RevocationWatch, 'register'>;
}

export interface Forwarding {
  /** The last step: forwards every permitted request that Couchgate does not answer itself. */
  readonly step: RequestHandler;
  /** Ends every open and every new feed at its next line end, for a drain. */
  readonly endFeeds: () => void;
  /** The number of open feeds. */
  readonly openFeeds: () => number;
  /** Stops the timer of the running exchanges. */
  readonly close: () => void;
}

/** Creates the forwarding of one process: http-proxy, the open feeds and the step. */
export function createForwarding(options: ForwardingOptions): Forwarding {
  const feeds = new Feeds();
  const running = new RunningExchanges(options.revocationWatch);
  const services: ExchangeServices = {
    unreadMs: UNREAD_MS,
    ...options,
    proxy: createCouchProxy(),
    feeds,
    running,
    writes: new WriteBatch(),
  };
  return {
    step: forwardToCouch(services),
    endFeeds: () => feeds.endAll(),
    openFeeds: () => feeds.count,
    close: () => running.close(),
  };
}

function forwardToCouch(services: ExchangeServices): RequestHandler {
  const heartbeats = new Heartbeats();
  return function forwardToCouchStep(req, res, next) {
    const context = contextOf(req);
    const { endpoint } = permitted(context);
    const { path, query } = known(context.target, 'target');
    if (query !== '' && hasFeed(endpoint.pool, path))
      heartbeats.admit(query, quotaKeyOf(callerOf(context)), res);
    new Exchange(services, res, next).start();
  };
}
