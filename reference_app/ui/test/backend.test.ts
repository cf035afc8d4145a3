import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, mock, test } from "node:test";

import { relay } from "../lib/backend";

let server: Server | undefined;

async function backend(answer: RequestListener): Promise<string> {
  server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function chat(body: string, headers: Record<string, string> = {}): Request {
  return new Request("http://localhost/api/chat", { method: "POST", body, headers });
}

afterEach(() => {
  mock.restoreAll();
  server?.closeAllConnections();
  server?.close();
  server = undefined;
});

test("a request reaches the backend with its body and its caller, and the answer comes back whole", async () => {
  const url = await backend(async (request, response) => {
    const chunks = await request.toArray();
    response.writeHead(201, { "Content-Type": "application/json", "X-Correlation-ID": "c-7" });
    const { "x-forwarded-for": caller, cookie } = request.headers;
    response.end(JSON.stringify({ path: request.url, body: Buffer.concat(chunks).toString(), caller, cookie }));
  });
  const request = chat("{}", { "X-Forwarded-For": "192.0.2.1", Cookie: "stays=here" });
  const answer = await relay(request, { path: "/chat", limitSeconds: 5 }, { BACKEND_URL: `${url}/` });
  assert.equal(answer.status, 201);
  assert.equal(answer.headers.get("X-Correlation-ID"), "c-7");
  assert.deepEqual(await answer.json(), { path: "/chat", body: "{}", caller: "192.0.2.1" });
});

test("an error of the backend stays what it is", async () => {
  const url = await backend((_, response) => response.writeHead(429, { "Retry-After": "60" }).end("{}"));
  const answer = await relay(chat("{}"), { path: "/chat", limitSeconds: 5 }, { BACKEND_URL: url });
  assert.equal(answer.status, 429);
  assert.equal(answer.headers.get("Retry-After"), "60");
});

test("a backend that is away becomes a 502 that says so, and its address stays in the house", async () => {
  const log = mock.method(console, "error", () => undefined);
  const url = await backend(() => undefined);
  const away = server as Server;
  away.close();
  await once(away, "close");
  const answer = await relay(chat("{}"), { path: "/chat", limitSeconds: 5 }, { BACKEND_URL: url });
  assert.equal(answer.status, 502);
  const { detail } = (await answer.json()) as { detail: string };
  assert.match(detail, /its backend does not answer\. Try again/);
  assert.doesNotMatch(detail, /127\.0\.0\.1/);
  assert.match(String(log.mock.calls[0]?.arguments[0]), /\/chat \(ECONNREFUSED\)/);
});

test("a backend that does not answer in time becomes a 504 that names the limit", async () => {
  mock.method(console, "error", () => undefined);
  const url = await backend(() => undefined);
  const answer = await relay(chat("{}"), { path: "/chat", limitSeconds: 0.1 }, { BACKEND_URL: url });
  assert.equal(answer.status, 504);
  assert.match(((await answer.json()) as { detail: string }).detail, /within 0\.1 seconds/);
});

test("a backend that dies half way becomes a 502, not half an answer", async () => {
  mock.method(console, "error", () => undefined);
  const url = await backend((_, response) => {
    response.writeHead(200, { "Content-Length": "100" });
    response.write("half", () => response.destroy());
  });
  const answer = await relay(chat("{}"), { path: "/chat", limitSeconds: 5 }, { BACKEND_URL: url });
  assert.equal(answer.status, 502);
});

test("a message of unreasonable size is turned away before the backend sees it", async () => {
  let seen = false;
  const url = await backend((_, response) => {
    seen = true;
    response.end();
  });
  const answer = await relay(chat("x".repeat(65 * 1024)), { path: "/chat", limitSeconds: 5 }, { BACKEND_URL: url });
  assert.equal(answer.status, 413);
  assert.equal(seen, false);
});
