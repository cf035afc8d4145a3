import assert from "node:assert/strict";
import { test } from "node:test";

import { detailOf, errorSentence } from "../lib/sentences";

test("every status becomes a sentence that says what to do next", () => {
  for (const status of [400, 401, 403, 404, 413, 422, 429, 500, 502, 503, 504]) {
    assert.match(errorSentence(status), /^[A-Z].*\.$/, `status ${status}`);
  }
});

test("too many messages ask for patience", () => {
  assert.match(errorSentence(429), /Wait a minute/);
});

test("an unforeseen status names itself", () => {
  assert.match(errorSentence(418), /\(418\)/);
});

test("the API's own sentence comes first", () => {
  assert.equal(errorSentence(502, "The kitchen is closed."), "The kitchen is closed.");
});

test("only a sentence counts as the API's own", () => {
  assert.equal(detailOf({ detail: " The kitchen is closed. " }), "The kitchen is closed.");
  for (const body of [undefined, null, "<html>", {}, { detail: "Not Found" }, { detail: [{ loc: ["message"] }] }]) {
    assert.equal(detailOf(body), undefined, JSON.stringify(body));
  }
});
