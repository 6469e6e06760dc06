"""The life and use of keys, told by azure.keyvault.keys."""
import hashlib

from azure.keyvault.keys import JsonWebKey, KeyClient, KeyRotationLifetimeAction, KeyRotationPolicy, KeyRotationPolicyAction
from azure.keyvault.keys.crypto import CryptographyClient, EncryptionAlgorithm, KeyWrapAlgorithm, SignatureAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from story import CREDENTIAL, HSM, SOON, VAULT, refused, same

client = KeyClient(VAULT, CREDENTIAL)


def use(key):
    return CryptographyClient(key, CREDENTIAL)


def local(key):
    """A client that has only what the vault says of a key, and never asks it."""
    return CryptographyClient.from_jwk(key.key)


def digest(algorithm, message):
    return hashlib.new("sha" + algorithm[2:5], message).digest()


# create and get
made = client.create_rsa_key("rsa", size=2048, tags={"owner": "shop"})
same(made.key_type, "RSA")
same(len(made.key.n), 256)
assert made.key.d is None
same(client.get_key("rsa").properties.tags, {"owner": "shop"})

# signed there, verified here
for name in ["rs256", "rs384", "rs512", "ps256", "ps384", "ps512"]:
    algorithm = SignatureAlgorithm(name.upper())
    message = digest(name, b"a contract")
    signature = use(made).sign(algorithm, message).signature
    assert local(made).verify(algorithm, message, signature).is_valid, name
    assert not local(made).verify(algorithm, digest(name, b"another"), signature).is_valid, name
for curve, name in {"P-256": "es256", "P-384": "es384", "P-521": "es512", "P-256K": "es256"}.items():
    algorithm = SignatureAlgorithm("ES256K") if curve == "P-256K" else SignatureAlgorithm(name.upper())
    key = client.create_ec_key("ec-" + curve, curve=curve)
    same(key.key.crv, curve)
    message = digest(name, b"a contract")
    signature = use(key).sign(algorithm, message).signature
    assert local(key).verify(algorithm, message, signature).is_valid, curve
    assert not local(key).verify(algorithm, digest(name, b"another"), signature).is_valid, curve

# encrypted and wrapped here, decrypted and unwrapped there
for name in ["RSA1_5", "RSA-OAEP", "RSA-OAEP-256"]:
    ciphertext = local(made).encrypt(EncryptionAlgorithm(name), b"a message").ciphertext
    same(use(made).decrypt(EncryptionAlgorithm(name), ciphertext).plaintext, b"a message")
    wrapped = local(made).wrap_key(KeyWrapAlgorithm(name), b"0123456789abcdef").encrypted_key
    same(use(made).unwrap_key(KeyWrapAlgorithm(name), wrapped).key, b"0123456789abcdef")
with refused(400):
    use(made).decrypt(EncryptionAlgorithm.rsa_oaep_256, b"\1" * 256)


def number(n):
    return n.to_bytes((n.bit_length() + 7) // 8, "big")


# import: what the imported key signs there, its maker's own half verifies
own = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_numbers()
jwk = JsonWebKey(
    kty="RSA", key_ops=["sign", "verify", "encrypt", "decrypt"],
    n=number(own.public_numbers.n), e=number(own.public_numbers.e), d=number(own.d),
    p=number(own.p), q=number(own.q), dp=number(own.dmp1), dq=number(own.dmq1), qi=number(own.iqmp),
)
imported = client.import_key("imported", jwk)
same(imported.key.n, number(own.public_numbers.n))
message = digest("rs256", b"mine")
assert CryptographyClient.from_jwk(jwk).verify(SignatureAlgorithm.rs256, message, use(imported).sign(SignatureAlgorithm.rs256, message).signature).is_valid
signature = CryptographyClient.from_jwk(jwk).sign(SignatureAlgorithm.rs256, message).signature
assert use(imported).verify(SignatureAlgorithm.rs256, message, signature).is_valid
curve = ec.generate_private_key(ec.SECP256R1()).private_numbers()
point = curve.public_numbers
ec_jwk = JsonWebKey(kty="EC", crv="P-256", key_ops=["sign", "verify"], x=point.x.to_bytes(32, "big"), y=point.y.to_bytes(32, "big"), d=curve.private_value.to_bytes(32, "big"))
imported_ec = client.import_key("imported-ec", ec_jwk)
assert CryptographyClient.from_jwk(ec_jwk).verify(SignatureAlgorithm.es256, message, use(imported_ec).sign(SignatureAlgorithm.es256, message).signature).is_valid

# update, versions, rotation
before = digest("rs256", b"before")
signed = use(made).sign(SignatureAlgorithm.rs256, before).signature
again = client.create_rsa_key("rsa", size=3072)
assert again.properties.version != made.properties.version
same(len(list(client.list_properties_of_key_versions("rsa"))), 2)
same(client.update_key_properties("rsa", again.properties.version, key_operations=["sign"]).key_operations, ["sign"])
policy = client.update_key_rotation_policy(
    "rsa",
    KeyRotationPolicy(expires_in="P90D", lifetime_actions=[KeyRotationLifetimeAction(KeyRotationPolicyAction.rotate, time_after_create="P30D")]),
)
same(policy.expires_in, "P90D")
same([a.time_after_create for a in client.get_key_rotation_policy("rsa").lifetime_actions if a.action == KeyRotationPolicyAction.rotate], ["P30D"])
rotated = client.rotate_key("rsa")
assert rotated.properties.version != again.properties.version
same(len(rotated.key.n), 384)

# list
names = {p.name for p in client.list_properties_of_keys()}
assert {"rsa", "imported", "ec-P-256K"} <= names, names

# backup, delete, recover, purge, restore: old signatures verify
backup = client.backup_key("rsa")
client.begin_delete_key("rsa", **SOON).wait()
with refused(404, "KeyNotFound"):
    client.get_key("rsa")
same([k.name for k in client.list_deleted_keys()], ["rsa"])
client.begin_recover_deleted_key("rsa", **SOON).wait()
client.begin_delete_key("rsa", **SOON).wait()
client.purge_deleted_key("rsa")
with refused(404, "KeyNotFound"):
    client.get_deleted_key("rsa")
client.restore_key_backup(backup)
assert use(made.id).verify(SignatureAlgorithm.rs256, before, signed).is_valid

# symmetric keys are a managed HSM's
hsm = KeyClient(HSM, CREDENTIAL)
oct_key = hsm.create_oct_key("oct", size=256, hardware_protected=True)
same(oct_key.key_type, "oct-HSM")
assert oct_key.key.k is None
sealed = use(oct_key).encrypt(EncryptionAlgorithm.a256_gcm, b"a message", additional_authenticated_data=b"to shop")
opened = use(oct_key).decrypt(
    EncryptionAlgorithm.a256_gcm, sealed.ciphertext, iv=sealed.iv, authentication_tag=sealed.tag, additional_authenticated_data=b"to shop"
)
same(opened.plaintext, b"a message")
# (CBC and AES key wrap would prove nothing: without k this client makes up a key and uses that)
same(len(hsm.get_random_bytes(32)), 32)
