import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { EMPTY, load, save, type Conversation } from "../lib/conversation";

const TALK: Conversation = { id: "c-1", messages: [{ id: "m-1", author: "user", text: "Hello" }] };

let entries: Map<string, string>;
const storage = {
  getItem: (key: string) => entries.get(key) ?? null,
  setItem: (key: string, value: string) => void entries.set(key, value),
  removeItem: (key: string) => void entries.delete(key),
};

beforeEach(() => {
  entries = new Map();
});

test("a conversation survives a reload", () => {
  save(storage, TALK);
  assert.deepEqual(load(storage), TALK);
});

test("a new conversation forgets the old one", () => {
  save(storage, TALK);
  save(storage, EMPTY);
  assert.deepEqual(load(storage), EMPTY);
  assert.equal(entries.size, 0);
});

test("whatever cannot be read counts as no conversation", () => {
  save(storage, TALK);
  const [key] = entries.keys();
  for (const stored of ["{", "7", "{}", '{"id":1,"messages":[]}', '{"id":null,"messages":[null]}']) {
    entries.set(key as string, stored);
    assert.deepEqual(load(storage), EMPTY, stored);
  }
});

test("a storage that refuses does not break the page", () => {
  const refuse = () => {
    throw new Error("storage is forbidden");
  };
  const refusing = { getItem: refuse, setItem: refuse, removeItem: refuse };
  save(refusing, TALK);
  assert.deepEqual(load(refusing), EMPTY);
});
