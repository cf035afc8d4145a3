import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { EventEmitter } from "node:events";
import type { Server, ServerResponse } from "node:http";

interface RequestStart {
  response: ServerResponse;
  server: Server;
}

const REQUEST_START = "http.server.request.start";

// Time for a request whose first bytes are on their way when the last known one ends.
const QUIET_MS = 500;

/**
 * Lets the process end as soon as its last request is answered. On SIGTERM Next.js stops listening and waits for every
 * connection to end, but goes on answering "keep-alive": a proxy's connection then holds the process for the whole
 * keep-alive time (79 s measured), until Docker loses patience and kills it. So from the signal on, every answer tells
 * its client to close, and once nothing is pending the connections that are left are closed from here.
 * Returns what undoes it.
 */
export function drainOn(signals: EventEmitter, signal: string): () => void {
  const pending = new Set<ServerResponse>();
  const servers = new Set<Server>();
  let draining = false;

  const closeWhenQuiet = () => {
    setTimeout(() => {
      if (pending.size === 0) {
        servers.forEach((server) => server.closeAllConnections());
      }
    }, QUIET_MS).unref();
  };

  const onRequest = (message: unknown) => {
    const { response, server } = message as RequestStart;
    servers.add(server);
    pending.add(response);
    if (draining) {
      askToClose(response);
    }
    response.once("close", () => {
      pending.delete(response);
      if (draining) {
        closeWhenQuiet();
      }
    });
  };

  const onSignal = () => {
    draining = true;
    pending.forEach(askToClose);
    closeWhenQuiet();
  };

  // Next.js keeps its server to itself; this channel of Node is the public way to see it.
  subscribe(REQUEST_START, onRequest);
  signals.once(signal, onSignal);
  return () => {
    unsubscribe(REQUEST_START, onRequest);
    signals.off(signal, onSignal);
  };
}

function askToClose(response: ServerResponse): void {
  if (!response.headersSent) {
    response.setHeader("Connection", "close");
  }
}
