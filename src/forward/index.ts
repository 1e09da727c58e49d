// Sends what was permitted to CouchDB and brings the answer back. Whether it is permitted was decided before; how each part is done is said in the files beside this one.
import { type RequestHandler } from 'express';
import { contextOf, known } from '../context.ts';
import { type RevocationWatch } from '../revocation/revocation-watch.ts';
import { createCouchProxy } from './couch-proxy.ts';
import { Exchange, type ExchangeServices } from './exchange.ts';
import { Feeds } from './feeds.ts';

export interface ForwardingOptions extends Omit<ExchangeServices, 'proxy' | 'feeds'> {
  readonly revocationWatch: Pick<RevocationWatch, 'register'>;
}

export interface Forwarding {
  /** The last step: every allowed request that no handler of ours has answered. */
  readonly step: RequestHandler;
  /** Ends the feeds that are open, and those to come, as soon as each is between two lines; the rest is left to the hard stop. */
  readonly endFeeds: () => void;
  /** Feeds that are open now. */
  readonly openFeeds: () => number;
}

export function createForwarding(options: ForwardingOptions): Forwarding {
  const feeds = new Feeds(options.revocationWatch);
  const services: ExchangeServices = { ...options, proxy: createCouchProxy(), feeds };
  return {
    step: forwardToCouch(services),
    endFeeds: () => feeds.endAll(),
    openFeeds: () => feeds.count,
  };
}

function forwardToCouch(services: ExchangeServices): RequestHandler {
  return function forwardToCouchStep(req, res, next) {
    const context = contextOf(req);
    const decision = known(context.decision, 'decision');
    if (!decision.allow) throw new Error('a refused request reached forwarding');
    new Exchange(services, req, res, next, context, decision).start();
  };
}
