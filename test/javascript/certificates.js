// The life of certificates, told by @azure/keyvault-certificates, and of the secret behind
// each, by @azure/keyvault-secrets.
import assert from "node:assert/strict";
import { createPrivateKey, verify, X509Certificate } from "node:crypto";
import { CertificateClient } from "@azure/keyvault-certificates";
import { CryptographyClient } from "@azure/keyvault-keys";
import { SecretClient } from "@azure/keyvault-secrets";
import { all, bytes, credential, refused, soon, vault } from "./story.js";

const client = new CertificateClient(vault, credential);
const secrets = new SecretClient(vault, credential);
const policy = {
  issuerName: "Self", subject: "CN=shop.example.com", subjectAlternativeNames: { dnsNames: ["shop.example.com", "www.shop.example.com"] },
  keyType: "RSA", keySize: 2048, exportable: true, reuseKey: false, validityInMonths: 6, contentType: "application/x-pem-file",
  keyUsage: ["digitalSignature", "keyEncipherment"], lifetimeActions: [{ action: "AutoRenew", daysBeforeExpiry: 30 }],
};

// create, poll
const poller = await client.beginCreateCertificate("shop", policy, { ...soon, tags: { owner: "shop" } });
const made = await poller.pollUntilDone();
assert.equal(made.name, "shop");
const x509 = new X509Certificate(made.cer);
assert.equal(x509.subject, "CN=shop.example.com");
assert.match(x509.subjectAltName, /DNS:www\.shop\.example\.com/);
assert.deepEqual(made.properties.tags, { owner: "shop" });
const operation = (await client.getCertificateOperation("shop")).getOperationState().certificateOperation;
assert.equal(operation.status, "completed");

// download: the secret of the same name has the key, which fits the certificate
const download = await secrets.getSecret("shop");
assert.equal(download.properties.contentType, "application/x-pem-file");
assert.ok(new X509Certificate(download.value).checkPrivateKey(createPrivateKey(download.value)));
assert.equal(download.properties.certificateKeyId, made.keyId);

// the key signs where it is; the certificate verifies it here
const { result } = await new CryptographyClient(made.keyId, credential).signData("RS256", bytes("a contract"));
assert.ok(verify("sha256", bytes("a contract"), x509.publicKey, result));

// policy: what was sent comes back
const kept = await client.getCertificatePolicy("shop");
for (const field of ["issuerName", "subject", "keyType", "keySize", "validityInMonths", "contentType", "keyUsage", "subjectAlternativeNames"]) {
  assert.deepEqual(JSON.parse(JSON.stringify(kept[field])), JSON.parse(JSON.stringify({ ...policy, subjectAlternativeNames: { ...kept.subjectAlternativeNames, ...policy.subjectAlternativeNames } }[field])), field);
}
await client.updateCertificatePolicy("shop", { ...policy, contentType: "application/x-pkcs12", validityInMonths: 3 });
assert.equal((await client.getCertificatePolicy("shop")).validityInMonths, 3);

// update, versions, a second version in another form
await client.updateCertificateProperties("shop", made.properties.version, { tags: { owner: "billing" } });
assert.deepEqual((await client.getCertificateVersion("shop", made.properties.version)).properties.tags, { owner: "billing" });
const renewed = await (await client.beginCreateCertificate("shop", { ...policy, contentType: "application/x-pkcs12" }, soon)).pollUntilDone();
assert.notEqual(renewed.properties.version, made.properties.version);
assert.equal((await all(client.listPropertiesOfCertificateVersions("shop"))).length, 2);
const pfx = await secrets.getSecret("shop");
assert.equal(pfx.properties.contentType, "application/x-pkcs12");

// import: PEM, and the PFX that the vault itself gave out
const pem = await client.importCertificate("from-pem", bytes(download.value), { policy: { contentType: "application/x-pem-file" } });
assert.deepEqual(Buffer.from(pem.cer), Buffer.from(made.cer));
const fromPFX = await client.importCertificate("from-pfx", Buffer.from(pfx.value, "base64"), { password: "" });
assert.deepEqual(Buffer.from(fromPFX.cer), Buffer.from(renewed.cer));
await refused(() => client.importCertificate("nonsense", bytes("no certificate")), 400);

// a certificate signed elsewhere: the CSR goes out, and the request can be cancelled and deleted
await client.beginCreateCertificate("elsewhere", { ...policy, issuerName: "Unknown", lifetimeActions: undefined }, soon);
const csr = (await client.getCertificateOperation("elsewhere")).getOperationState().certificateOperation;
assert.equal(csr.status, "inProgress");
assert.ok(csr.csr.length > 100);
await client.deleteCertificateOperation("elsewhere");

// contacts and issuers
await client.setContacts([{ email: "a@example.com", name: "A", phone: "1" }]);
assert.deepEqual((await client.getContacts()).map((c) => c.email), ["a@example.com"]);
await client.deleteContacts();
await client.createIssuer("elsewhere", "Test", { accountId: "shop" });
assert.equal((await client.getIssuer("elsewhere")).provider, "Test");
assert.deepEqual((await all(client.listPropertiesOfIssuers())).map((i) => i.id), [`${vault}/certificates/issuers/elsewhere`]);
await client.deleteIssuer("elsewhere");

// list, backup, delete, recover, purge, restore
const names = (await all(client.listPropertiesOfCertificates())).map((p) => p.name);
assert.deepEqual(names.filter((n) => n !== "elsewhere").sort(), ["from-pem", "from-pfx", "shop"]);
const backup = await client.backupCertificate("shop");
await (await client.beginDeleteCertificate("shop", soon)).pollUntilDone();
await refused(() => client.getCertificate("shop"), 404, "CertificateNotFound");
await refused(() => secrets.getSecret("shop"), 404);
await (await client.beginRecoverDeletedCertificate("shop", soon)).pollUntilDone();
assert.ok((await secrets.getSecret("shop")).value);
await (await client.beginDeleteCertificate("shop", soon)).pollUntilDone();
assert.deepEqual((await all(client.listDeletedCertificates())).map((c) => c.name), ["shop"]);
await client.purgeDeletedCertificate("shop");
await refused(() => client.getDeletedCertificate("shop"), 404, "CertificateNotFound");
const restored = await client.restoreCertificateBackup(backup);
assert.deepEqual(Buffer.from(restored.cer), Buffer.from(renewed.cer));
assert.equal((await secrets.getSecret("shop", { version: made.properties.version })).value, download.value);
