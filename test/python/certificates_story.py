"""The life of certificates, told by azure.keyvault.certificates, and of the key and the
secret behind each."""
import base64
import hashlib

from azure.keyvault.certificates import CertificateClient, CertificateContact, CertificateContentType, CertificatePolicy, CertificatePolicyAction, LifetimeAction
from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm
from azure.keyvault.secrets import SecretClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key, pkcs12

from story import CREDENTIAL, SOON, VAULT, refused, same

client = CertificateClient(VAULT, CREDENTIAL)
secrets = SecretClient(VAULT, CREDENTIAL)


def policy(**different):
    said = {
        "issuer_name": "Self", "subject": "CN=shop.example.com", "san_dns_names": ["shop.example.com", "www.shop.example.com"],
        "key_type": "RSA", "key_size": 2048, "exportable": True, "reuse_key": False, "validity_in_months": 6,
        "content_type": CertificateContentType.pem, "key_usage": ["digitalSignature", "keyEncipherment"],
        "lifetime_actions": [LifetimeAction(CertificatePolicyAction.auto_renew, days_before_expiry=30)],
    }
    return CertificatePolicy(**{**said, **different})


def public(key):
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


# create, poll
made = client.begin_create_certificate("shop", policy(), tags={"owner": "shop"}, **SOON).result()
leaf = x509.load_der_x509_certificate(bytes(made.cer))
same(leaf.subject.rfc4514_string(), "CN=shop.example.com")
same(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName), ["shop.example.com", "www.shop.example.com"])
same(made.properties.tags, {"owner": "shop"})
same(client.get_certificate_operation("shop").status, "completed")

# download: the secret of the same name has the key, which fits the certificate
download = secrets.get_secret("shop")
same(download.properties.content_type, "application/x-pem-file")
same(public(load_pem_private_key(download.value.encode(), None).public_key()), public(leaf.public_key()))

# the key signs where it is; the certificate verifies it here
digest = hashlib.sha256(b"a contract").digest()
signature = CryptographyClient(made.key_id, CREDENTIAL).sign(SignatureAlgorithm.rs256, digest).signature
leaf.public_key().verify(signature, b"a contract", padding.PKCS1v15(), hashes.SHA256())

# policy: what was sent comes back
kept = client.get_certificate_policy("shop")
same(
    (kept.issuer_name, kept.subject, kept.san_dns_names, kept.key_type, kept.key_size, kept.validity_in_months, kept.content_type, sorted(kept.key_usage)),
    ("Self", "CN=shop.example.com", ["shop.example.com", "www.shop.example.com"], "RSA", 2048, 6, "application/x-pem-file", ["digitalSignature", "keyEncipherment"]),
)
client.update_certificate_policy("shop", policy(content_type=CertificateContentType.pkcs12, validity_in_months=3))
same(client.get_certificate_policy("shop").validity_in_months, 3)

# update, versions, a second version in another form
client.update_certificate_properties("shop", made.properties.version, tags={"owner": "billing"})
same(client.get_certificate_version("shop", made.properties.version).properties.tags, {"owner": "billing"})
renewed = client.begin_create_certificate("shop", policy(content_type=CertificateContentType.pkcs12), **SOON).result()
assert renewed.properties.version != made.properties.version
same(len(list(client.list_properties_of_certificate_versions("shop"))), 2)
pfx = secrets.get_secret("shop")
same(pfx.properties.content_type, "application/x-pkcs12")
key, certificate, _ = pkcs12.load_key_and_certificates(base64.b64decode(pfx.value), None)
same(certificate.public_bytes(Encoding.DER), bytes(renewed.cer))
same(public(key.public_key()), public(certificate.public_key()))

# import: PEM, and the PFX that the vault itself gave out
pem = client.import_certificate("from-pem", download.value.encode(), policy=CertificatePolicy("Unknown", content_type=CertificateContentType.pem))
same(pem.cer, made.cer)
same(client.import_certificate("from-pfx", base64.b64decode(pfx.value)).cer, renewed.cer)
with refused(400):
    client.import_certificate("nonsense", b"no certificate")

# a certificate signed elsewhere: the CSR goes out, and the request can be deleted
client.begin_create_certificate("elsewhere", policy(issuer_name="Unknown", lifetime_actions=None), **SOON)
waiting = client.get_certificate_operation("elsewhere")
same(waiting.status, "inProgress")
assert x509.load_der_x509_csr(bytes(waiting.csr)).is_signature_valid
client.delete_certificate_operation("elsewhere")

# contacts and issuers
client.set_contacts([CertificateContact(email="a@example.com", name="A", phone="1")])
same([c.email for c in client.get_contacts()], ["a@example.com"])
client.delete_contacts()
client.create_issuer("elsewhere", "Test", account_id="shop")
same(client.get_issuer("elsewhere").provider, "Test")
same([i.name for i in client.list_properties_of_issuers()], ["elsewhere"])
client.delete_issuer("elsewhere")

# list, backup, delete, recover, purge, restore
names = {p.name for p in client.list_properties_of_certificates()} - {"elsewhere"}
same(names, {"from-pem", "from-pfx", "shop"})
backup = client.backup_certificate("shop")
client.begin_delete_certificate("shop", **SOON).wait()
with refused(404, "CertificateNotFound"):
    client.get_certificate("shop")
with refused(404):
    secrets.get_secret("shop")
client.begin_recover_deleted_certificate("shop", **SOON).wait()
assert secrets.get_secret("shop").value
client.begin_delete_certificate("shop", **SOON).wait()
same([c.name for c in client.list_deleted_certificates()], ["shop"])
client.purge_deleted_certificate("shop")
with refused(404, "CertificateNotFound"):
    client.get_deleted_certificate("shop")
same(client.restore_certificate_backup(backup).cer, renewed.cer)
same(secrets.get_secret("shop", made.properties.version).value, download.value)
