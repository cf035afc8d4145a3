import assert from "node:assert/strict";
import { test } from "node:test";

import { describeDeployment } from "../lib/deployment";

test("the release and the environment are what the container was told", () => {
  const told = { RELEASE: "2024-05-01-1", NEXT_PUBLIC_ENVIRONMENT: "staging", ENVIRONMENT: "production" };
  assert.deepEqual(describeDeployment(told), { release: "2024-05-01-1", environment: "staging" });
});

test("without the frontend's own variable the shared one counts", () => {
  assert.equal(describeDeployment({ ENVIRONMENT: "production" }).environment, "production");
});

test("an untold or blank release is called unknown, never left empty", () => {
  assert.equal(describeDeployment({}).release, "unknown");
  assert.equal(describeDeployment({ RELEASE: "  " }).release, "unknown");
});
