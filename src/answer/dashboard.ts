// Serves the files of the dashboard.
import { type Request, type Response } from 'express';
import { type DashboardPlace } from '../config/dashboard.ts';
import { type Context, known } from '../context.ts';
import { HttpError, NotFound } from '../http-errors.ts';
import { type DashboardFile, type DashboardFiles } from './dashboard-files.ts';
import { type Answers } from './index.ts';

export interface DashboardDeps {
  readonly place: DashboardPlace;
  readonly files: DashboardFiles;
}

/** The page. Its links are fragments, so it is the only one. */
const PAGE = 'index.html';
const YEAR_SECONDS = 31_536_000;

/**
 * Creates the handlers. They answer 404 where the dashboard is off, and on the listeners of clients if it has
 * one of its own. `/dashboard.html` was the address at Cloudant; browsers keep the fragment of a redirect, so
 * old links arrive.
 */
export function dashboardHandlers({
  place,
  files,
}: DashboardDeps): Pick<Answers, 'dashboard' | 'dashboard-old'> {
  const requireServed = ({ isOnDashboardListener }: Context): void => {
    if (place === 'off') throw new NotFound('The dashboard is off.');
    if (place === 'separate' && !isOnDashboardListener)
      throw new NotFound('The dashboard has a listener of its own.');
    if (files.size === 0)
      throw new HttpError(503, 'service_unavailable', 'The dashboard is not built. Run `npm run build`.');
  };
  return {
    dashboard(req, res, context) {
      requireServed(context);
      const { segments } = known(context.target, 'target');
      // The page names its files relative to the folder, so that a proxy may serve it under another path.
      if (segments.length > 1) sendFile(req, res, files.get(segments.slice(1).join('/')));
      else if (req.url.split('?', 1)[0]?.endsWith('/') === true) sendFile(req, res, files.get(PAGE));
      else redirect(res, '_dashboard/');
    },
    'dashboard-old'(_req, res, context) {
      requireServed(context);
      redirect(res, '_dashboard/');
    },
  };
}

function redirect(res: Response, location: string): void {
  res.writeHead(302, { Location: location, 'Content-Length': 0, 'Cache-Control': 'no-store' });
  res.end();
}

/** Sends a file; 304 if the client has it. Throws 404 for an unknown name. */
function sendFile(req: Request, res: Response, file: DashboardFile | undefined): void {
  if (file === undefined) throw new NotFound();
  const { type, etag, isImmutable, body, gzip } = file;
  const caching = {
    ETag: etag,
    'Cache-Control': isImmutable ? `public, max-age=${YEAR_SECONDS}, immutable` : 'no-cache',
    Vary: 'Accept-Encoding',
  };
  if (req.headers['if-none-match'] === etag) {
    res.writeHead(304, caching);
    res.end();
    return;
  }
  const compressed = acceptsGzip(req.headers['accept-encoding']) ? gzip : undefined;
  const sent = compressed ?? body;
  res.writeHead(200, {
    'Content-Type': type,
    'Content-Length': sent.length,
    ...(compressed === undefined ? {} : { 'Content-Encoding': 'gzip' }),
    ...caching,
  });
  res.end(req.method === 'HEAD' ? undefined : sent);
}

/** True if the header names gzip without the weight 0, which excludes it (RFC 9110 section 12.5.3). */
function acceptsGzip(header: string | string[] | undefined): boolean {
  const codings = String(header ?? '').split(',');
  return codings.some((coding) => {
    const [name = '', ...parameters] = coding.split(';').map((part) => part.trim().toLowerCase());
    return name === 'gzip' && !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter));
  });
}
