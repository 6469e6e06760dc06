// What the stories share: the credential as every program has it, and small checks.
import assert from "node:assert/strict";
import { DefaultAzureCredential } from "@azure/identity";

export const vault = process.env.CHATELAINE_VAULT_URL;
export const credential = new DefaultAzureCredential();

// Deleting and recovering are done when the call returns, so the pollers need not wait.
export const soon = { intervalInMs: 1 };

// all collects a paged list.
export async function all(pages) {
  const items = [];
  for await (const item of pages) items.push(item);
  return items;
}

// refused checks that a call is answered with a status and an error code.
export async function refused(call, status, code) {
  await assert.rejects(call, (err) => {
    assert.equal(err.statusCode, status, err.message);
    if (code) assert.equal(err.code, code, err.message);
    return true;
  });
}

export const bytes = (text) => new TextEncoder().encode(text);
export const text = (raw) => new TextDecoder().decode(raw);
