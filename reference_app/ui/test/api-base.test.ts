import assert from "node:assert/strict";
import { test } from "node:test";

import { apiBase } from "../lib/api-base";

test("the configured address counts on its own origin", () => {
  assert.equal(apiBase("https://erni-gruppe.ch/api", "https://erni-gruppe.ch"), "https://erni-gruppe.ch/api");
});

test("a slash at its end does not double", () => {
  assert.equal(apiBase("https://erni-gruppe.ch/api/", "https://erni-gruppe.ch"), "https://erni-gruppe.ch/api");
});

for (const [why, origin] of [
  ["another port", "https://erni-gruppe.ch:8443"],
  ["another scheme", "http://erni-gruppe.ch"],
  ["another host", "http://localhost:3000"],
] as const) {
  test(`${why} means the relative base`, () => {
    assert.equal(apiBase("https://erni-gruppe.ch/api", origin), "/api");
  });
}

for (const configured of [undefined, "", "not an address"]) {
  test(`${JSON.stringify(configured)} means the relative base`, () => {
    assert.equal(apiBase(configured, "https://erni-gruppe.ch"), "/api");
  });
}
