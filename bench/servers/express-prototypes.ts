// Creates the messages of a server with the prototypes of Express, which makes its Object.setPrototypeOf per
// request a no-op.
import http, { type IncomingMessage, type ServerOptions, type ServerResponse } from 'node:http';
import { type Socket } from 'node:net';
import { type Express } from 'express';

/** Returns the options of a server whose messages have the prototypes of `app`. */
export function expressPrototypes(app: Express): ServerOptions {
  function AppRequest(this: IncomingMessage, socket: Socket): void {
    http.IncomingMessage.call(this, socket);
  }
  function AppResponse(this: ServerResponse, ...args: ConstructorParameters<typeof ServerResponse>): void {
    (http.ServerResponse as unknown as (...parameters: unknown[]) => void).call(this, ...args);
  }
  AppRequest.prototype = app.request;
  AppResponse.prototype = app.response;
  // V8 sizes an object by its constructor and the inherited ones.
  Object.setPrototypeOf(AppRequest, http.IncomingMessage);
  Object.setPrototypeOf(AppResponse, http.ServerResponse);
  return {
    IncomingMessage: AppRequest as unknown as typeof http.IncomingMessage,
    ServerResponse: AppResponse as unknown as typeof http.ServerResponse,
  };
}
