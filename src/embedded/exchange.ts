// What an endpoint of the embedded node is given: the request as read, who asks, and the database it is about.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type Authenticator } from './authenticate.ts';
import { type Database } from './database.ts';
import { type Databases } from './databases.ts';
import { type Replications } from './replication-scheduler.ts';

export interface Caller {
  /** null = nobody has signed in. */
  readonly name: string | null;
  readonly roles: readonly string[];
  /** CouchDB's name of the handler that knew the caller, as `_session` tells it. */
  readonly handler: 'jwt' | 'cookie' | 'default' | undefined;
}

/** The parts of one embedded node that endpoints use. */
export interface EmbeddedNode {
  readonly databases: Databases;
  readonly authenticator: Authenticator;
  readonly replications: Replications;
  /** Address of this node, for replications of local databases. */
  url(): string;
}

export interface Exchange {
  readonly node: EmbeddedNode;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  /** Method after X-HTTP-Method-Override. */
  readonly method: string;
  readonly path: readonly string[];
  readonly query: URLSearchParams;
  readonly caller: Caller;
}

export interface DatabaseExchange extends Exchange {
  readonly database: Database;
  /** The caller is a server admin or in the database's `admins`. */
  readonly isDatabaseAdmin: boolean;
}

export type Endpoint<E extends Exchange> = (exchange: E) => void | Promise<void>;

/** One path's methods. `allow` is CouchDB's own list for the 405. GET serves HEAD too. */
export interface Methods<E extends Exchange> {
  readonly allow: string;
  readonly GET?: Endpoint<E>;
  readonly PUT?: Endpoint<E>;
  readonly POST?: Endpoint<E>;
  readonly DELETE?: Endpoint<E>;
  readonly COPY?: Endpoint<E>;
}
