// The life and use of keys, told by @azure/keyvault-keys.
import assert from "node:assert/strict";
import { constants, createHash, generateKeyPairSync, randomBytes, verify } from "node:crypto";
import { CryptographyClient, KeyClient } from "@azure/keyvault-keys";
import { all, bytes, credential, refused, soon, text, vault } from "./story.js";

const client = new KeyClient(vault, credential);
const use = (key) => new CryptographyClient(key, credential);
const jwkOf = (key) => ({ kty: key.kty, n: Buffer.from(key.n).toString("base64url"), e: Buffer.from(key.e).toString("base64url") });
const sha256 = (data) => createHash("sha256").update(data).digest();

// create and get
const rsa = await client.createRsaKey("rsa", { keySize: 2048, tags: { owner: "shop" } });
assert.equal(rsa.keyType, "RSA");
assert.equal(rsa.key.n.length, 256);
assert.equal(rsa.key.d, undefined);
assert.deepEqual((await client.getKey("rsa")).properties.tags, { owner: "shop" });
const curves = { "P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "P-256K": "ES256K" };
for (const [curve, algorithm] of Object.entries(curves)) {
  const key = await client.createEcKey(`ec-${curve}`, { curve });
  assert.equal(key.key.crv, curve);
  const { result } = await use(key).signData(algorithm, bytes("a contract"));
  assert.equal((await use(key).verifyData(algorithm, bytes("a contract"), result)).result, true);
  assert.equal((await use(key).verifyData(algorithm, bytes("another"), result)).result, false);
}

// sign there, verify here, and the reverse of it for encryption: the client that has only
// the public half works without the vault, and agrees with it
const local = new CryptographyClient(rsa.key);
for (const algorithm of ["RS256", "RS384", "RS512"]) {
  const { result } = await use(rsa).signData(algorithm, bytes("a contract"));
  assert.equal((await local.verifyData(algorithm, bytes("a contract"), result)).result, true, algorithm);
}
for (const algorithm of ["PS256", "PS384", "PS512"]) {
  // The client's own verifyData takes PS for RS; Node knows the difference.
  const { result } = await use(rsa).signData(algorithm, bytes("a contract"));
  const key = { key: { ...jwkOf(rsa.key) }, format: "jwk", padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
  assert.ok(verify(`sha${algorithm.slice(2)}`, bytes("a contract"), key, result), algorithm);
}
for (const algorithm of ["RSA1_5", "RSA-OAEP"]) {
  const sealed = await local.encrypt({ algorithm, plaintext: bytes("a message") });
  const { result } = await use(rsa).decrypt({ algorithm, ciphertext: sealed.result });
  assert.equal(text(result), "a message");
  const wrapped = await local.wrapKey(algorithm, bytes("0123456789abcdef"));
  assert.equal(text((await use(rsa).unwrapKey(algorithm, wrapped.result)).result), "0123456789abcdef");
}
const sealed = await use(rsa.id).encrypt({ algorithm: "RSA-OAEP-256", plaintext: bytes("a message") });
assert.equal(text((await use(rsa).decrypt({ algorithm: "RSA-OAEP-256", ciphertext: sealed.result })).result), "a message");
await refused(() => use(rsa).decrypt({ algorithm: "RSA-OAEP-256", ciphertext: new Uint8Array(256).fill(1) }), 400);

// a digest made elsewhere
const digest = sha256("a contract");
const signed = await use(rsa).sign("RS256", digest);
assert.equal(signed.keyID, rsa.id);
assert.equal((await use(rsa).verify("RS256", digest, signed.result)).result, true);

// import: what is signed with the private half there verifies with the public half here
const pair = generateKeyPairSync("rsa", { modulusLength: 2048 });
const jwk = pair.privateKey.export({ format: "jwk" });
const raw = Object.fromEntries(
  Object.entries(jwk).map(([k, v]) => [k, k === "kty" ? v : new Uint8Array(Buffer.from(v, "base64url"))]),
);
const imported = await client.importKey("imported", raw);
assert.deepEqual(Buffer.from(imported.key.n), Buffer.from(raw.n));
const proof = await use(imported).signData("RS256", bytes("mine"));
assert.equal((await new CryptographyClient(imported.key).verifyData("RS256", bytes("mine"), proof.result)).result, true);

// update, versions, rotation
const again = await client.createRsaKey("rsa", { keySize: 3072 });
assert.notEqual(again.properties.version, rsa.properties.version);
assert.equal((await all(client.listPropertiesOfKeyVersions("rsa"))).length, 2);
const changed = await client.updateKeyProperties("rsa", again.properties.version, { keyOps: ["sign"], enabled: true });
assert.deepEqual(changed.keyOperations, ["sign"]);
await assert.rejects(() => use(changed.id).encrypt({ algorithm: "RSA-OAEP-256", plaintext: bytes("x") }), /encrypt is not supported/);
const policy = await client.updateKeyRotationPolicy("rsa", {
  expiresIn: "P90D",
  lifetimeActions: [{ action: "Rotate", timeAfterCreate: "P30D" }],
});
assert.equal(policy.expiresIn, "P90D");
assert.equal((await client.getKeyRotationPolicy("rsa")).lifetimeActions.find((a) => a.action === "Rotate").timeAfterCreate, "P30D");
const rotated = await client.rotateKey("rsa");
assert.notEqual(rotated.properties.version, again.properties.version);
assert.equal(rotated.key.n.length, 384);

// list
const names = (await all(client.listPropertiesOfKeys())).map((p) => p.name);
for (const name of ["rsa", "imported", "ec-P-256K"]) assert.ok(names.includes(name), name);

// backup, delete, recover, purge, restore: old signatures verify
const backup = await client.backupKey("rsa");
await (await client.beginDeleteKey("rsa", soon)).pollUntilDone();
await refused(() => client.getKey("rsa"), 404, "KeyNotFound");
assert.deepEqual((await all(client.listDeletedKeys())).map((k) => k.name), ["rsa"]);
await (await client.beginRecoverDeletedKey("rsa", soon)).pollUntilDone();
await (await client.beginDeleteKey("rsa", soon)).pollUntilDone();
await client.purgeDeletedKey("rsa");
await refused(() => client.getDeletedKey("rsa"), 404, "KeyNotFound");
await client.restoreKeyBackup(backup);
assert.equal((await use(rsa).verify("RS256", digest, signed.result)).result, true);

// symmetric keys are a managed HSM's
const hsm = new KeyClient(process.env.CHATELAINE_HSM_URL, credential);
const oct = await hsm.createOctKey("oct", { keySize: 256, hsm: true });
assert.equal(oct.keyType, "oct-HSM");
assert.equal(oct.key.k, undefined);
const gcm = await use(oct).encrypt({ algorithm: "A256GCM", plaintext: bytes("a message"), additionalAuthenticatedData: bytes("to shop") });
const opened = await use(oct).decrypt({
  algorithm: "A256GCM", ciphertext: gcm.result, iv: gcm.iv, authenticationTag: gcm.authenticationTag, additionalAuthenticatedData: bytes("to shop"),
});
assert.equal(text(opened.result), "a message");
const iv = randomBytes(16);
const cbc = await use(oct).encrypt({ algorithm: "A256CBCPAD", plaintext: bytes("a message"), iv });
assert.equal(text((await use(oct).decrypt({ algorithm: "A256CBCPAD", ciphertext: cbc.result, iv })).result), "a message");
const kw = await use(oct).wrapKey("A256KW", bytes("0123456789abcdef"));
assert.equal(text((await use(oct).unwrapKey("A256KW", kw.result)).result), "0123456789abcdef");
assert.equal((await hsm.getRandomBytes(32)).length, 32);
