// The life of a secret, told by @azure/keyvault-secrets.
import assert from "node:assert/strict";
import { SecretClient } from "@azure/keyvault-secrets";
import { all, credential, refused, soon, vault } from "./story.js";

const client = new SecretClient(vault, credential);

// set and get
// (a date after 2038 would not do: this client cuts times to 32 bits)
const first = await client.setSecret("database-password", "first ✓ \"\\\u2028", {
  contentType: "text/plain",
  tags: { owner: "shop" },
  expiresOn: new Date("2037-01-02T03:04:05Z"),
});
assert.equal(first.properties.vaultUrl, vault);
assert.equal((await client.getSecret("database-password")).value, "first ✓ \"\\\u2028");

// versions
const second = await client.setSecret("database-password", "second");
assert.notEqual(second.properties.version, first.properties.version);
assert.equal((await client.getSecret("DATABASE-password")).value, "second"); // names have no case
const old = await client.getSecret("database-password", { version: first.properties.version });
assert.equal(old.value, "first ✓ \"\\\u2028");
assert.equal(old.properties.contentType, "text/plain");
assert.deepEqual(old.properties.tags, { owner: "shop" });
assert.equal(old.properties.expiresOn.toISOString(), "2037-01-02T03:04:05.000Z");
const versions = await all(client.listPropertiesOfSecretVersions("database-password"));
assert.deepEqual(
  versions.map((p) => p.version).sort(),
  [first.properties.version, second.properties.version].sort(),
);

// update: what is not said stays
const updated = await client.updateSecretProperties("database-password", second.properties.version, {
  enabled: false,
  tags: { owner: "billing" },
});
assert.equal(updated.enabled, false);
await refused(() => client.getSecret("database-password"), 403, "Forbidden");
await client.updateSecretProperties("database-password", second.properties.version, { enabled: true });
assert.deepEqual((await client.getSecret("database-password")).properties.tags, { owner: "billing" });

// list, over more than a page
for (let i = 0; i < 27; i++) await client.setSecret(`many-${i}`, `${i}`);
const names = (await all(client.listPropertiesOfSecrets())).map((p) => p.name);
assert.equal(names.filter((n) => n.startsWith("many-")).length, 27);
assert.equal(new Set(names).size, names.length);

// backup; a restore over what is there is refused
const backup = await client.backupSecret("database-password");
await refused(() => client.restoreSecretBackup(backup), 409, "Conflict");

// delete, recover
const deleted = await (await client.beginDeleteSecret("database-password", soon)).pollUntilDone();
assert.ok(deleted.properties.recoveryId.endsWith("/deletedsecrets/database-password"));
assert.ok(deleted.properties.scheduledPurgeDate > deleted.properties.deletedOn);
await refused(() => client.getSecret("database-password"), 404, "SecretNotFound");
await refused(() => client.setSecret("database-password", "x"), 409, "Conflict");
assert.deepEqual((await all(client.listDeletedSecrets())).map((s) => s.name), ["database-password"]);
await (await client.beginRecoverDeletedSecret("database-password", soon)).pollUntilDone();
assert.equal((await client.getSecret("database-password")).value, "second");

// delete, purge, restore: every version is back
await (await client.beginDeleteSecret("database-password", soon)).pollUntilDone();
await client.purgeDeletedSecret("database-password");
await refused(() => client.getDeletedSecret("database-password"), 404, "SecretNotFound");
await client.restoreSecretBackup(backup);
assert.equal((await client.getSecret("database-password")).value, "second");
assert.equal((await client.getSecret("database-password", { version: first.properties.version })).value, "first ✓ \"\\\u2028");
