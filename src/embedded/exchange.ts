// Declares what an endpoint of the embedded node receives: the parsed request, its caller and its database.
import { type IncomingMessage, type ServerResponse } from 'node:http';
import { type Authenticator } from './authenticate.ts';
import { type Database } from './database.ts';
import { type Databases } from './databases.ts';
import { type Replications } from './replication-scheduler.ts';

/** The authenticated caller of a request. */
export interface Caller {
  /** null = anonymous. */
  readonly name: string | null;
  readonly roles: readonly string[];
  /** CouchDB's name of the authentication handler that accepted the credentials; `_session` reports it. */
  readonly handler: 'jwt' | 'cookie' | 'default' | undefined;
}

/** The parts of one embedded node that endpoints use. */
export interface EmbeddedNode {
  readonly databases: Databases;
  readonly authenticator: Authenticator;
  readonly replications: Replications;
  /** Address of this node: replications reach local databases over HTTP. */
  url(): string;
}

/** One request and its response. */
export interface Exchange {
  readonly node: EmbeddedNode;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  /** Method after X-HTTP-Method-Override. */
  readonly method: string;
  /** Decoded path segments. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
  readonly caller: Caller;
}

/** A request to an existing database that the caller may access. */
export interface DatabaseExchange extends Exchange {
  readonly database: Database;
  /** The caller is a server admin, or `admins` of the security object lists it. */
  readonly isDatabaseAdmin: boolean;
}

/** Answers the request, or throws an HttpError. */
export type Endpoint<E extends Exchange> = (exchange: E) => void | Promise<void>;

/** The methods of one path. `allow` is the value that CouchDB sends with the 405. GET serves HEAD too. */
export interface Methods<E extends Exchange> {
  readonly allow: string;
  readonly GET?: Endpoint<E>;
  readonly PUT?: Endpoint<E>;
  readonly POST?: Endpoint<E>;
  readonly DELETE?: Endpoint<E>;
  readonly COPY?: Endpoint<E>;
}
