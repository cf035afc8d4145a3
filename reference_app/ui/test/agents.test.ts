import assert from "node:assert/strict";
import { test } from "node:test";

import { parseAgents } from "../lib/agents";

const FAQ = { name: "FAQ Agent", description: "Answers what is asked most." };

test("a list and an object that holds one read the same", () => {
  assert.deepEqual(parseAgents([FAQ]), [FAQ]);
  assert.deepEqual(parseAgents({ agents: [FAQ] }), [FAQ]);
});

test("a bare name is an agent without a description", () => {
  assert.deepEqual(parseAgents(["FAQ Agent"]), [{ name: "FAQ Agent", description: "" }]);
});

test("what is no agent is left out", () => {
  assert.deepEqual(parseAgents([null, 7, {}, { name: "" }, FAQ]), [FAQ]);
  for (const body of [undefined, null, "agents", { agents: "none" }]) {
    assert.deepEqual(parseAgents(body), []);
  }
});
