import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { Agent, createServer, get, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { afterEach, beforeEach, test } from "node:test";

import { drainOn } from "../lib/drain";

const KEEP_ALIVE_MS = 75_000;
const SOON_MS = 3_000;

let undo: () => void;
let signals: EventEmitter;
let server: Server;
let held: ServerResponse[];
let agent: Agent;

beforeEach(async () => {
  signals = new EventEmitter();
  undo = drainOn(signals, "SIGTERM");
  held = [];
  agent = new Agent({ keepAlive: true });
  server = createServer((_, response) => void held.push(response)).listen(0, "127.0.0.1");
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  await once(server, "listening");
});

afterEach(() => {
  undo();
  agent.destroy();
  server.closeAllConnections();
  server.close();
});

function port(): number {
  return (server.address() as AddressInfo).port;
}

/** Sends a request and returns once it is in the server's hands, with the promise of its answer. */
async function requestInFlight(): Promise<{ answer: Promise<IncomingMessage> }> {
  const arrived = once(server, "request");
  const request = get({ port: port(), host: "127.0.0.1", agent });
  const answer = once(request, "response").then(([response]) => (response as IncomingMessage).resume());
  await arrived;
  return { answer };
}

/** What Next.js does on the signal; resolves with how long the last connection held the process. */
async function terminate(): Promise<number> {
  const start = Date.now();
  const closed = once(server, "close");
  server.close();
  signals.emit("SIGTERM");
  await closed;
  return Date.now() - start;
}

test("a request in flight is answered, its client told to close, and the process is free at once", async () => {
  const { answer } = await requestInFlight();
  const terminated = terminate();
  held[0]?.end("done");
  const response = await answer;
  assert.equal(response.statusCode, 200);
  assert.equal(response.headers.connection, "close");
  assert.ok((await terminated) < SOON_MS);
});

test("an answer that had begun is finished, though it had promised to keep the connection", async () => {
  const { answer } = await requestInFlight();
  held[0]?.write("begun, ");
  const response = await answer;
  assert.equal(response.headers.connection, "keep-alive");
  const terminated = terminate();
  held[0]?.end("done");
  await once(response, "end");
  assert.ok((await terminated) < SOON_MS);
});

test("a connection that never asked for anything does not hold the process", async () => {
  const { answer } = await requestInFlight();
  held[0]?.end();
  await answer;
  const silent = connect(port(), "127.0.0.1");
  await once(silent, "connect");
  assert.ok((await terminate()) < SOON_MS);
  silent.destroy();
});
