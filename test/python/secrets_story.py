"""The life of a secret, told by azure.keyvault.secrets."""
from datetime import datetime, timezone

from azure.keyvault.secrets import SecretClient

from story import CREDENTIAL, SOON, VAULT, refused, same

client = SecretClient(VAULT, CREDENTIAL)

# set and get
VALUE = 'first ✓ "\\\u2028'
first = client.set_secret(
    "database-password", VALUE, content_type="text/plain", tags={"owner": "shop"}, expires_on=datetime(2099, 1, 2, tzinfo=timezone.utc)
)
same(first.properties.vault_url, VAULT)
same(client.get_secret("database-password").value, VALUE)

# versions
second = client.set_secret("database-password", "second")
assert second.properties.version != first.properties.version
same(client.get_secret("DATABASE-password").value, "second")  # names have no case
old = client.get_secret("database-password", first.properties.version)
same((old.value, old.properties.content_type, old.properties.tags), (VALUE, "text/plain", {"owner": "shop"}))
same(old.properties.expires_on, datetime(2099, 1, 2, tzinfo=timezone.utc))
versions = {p.version for p in client.list_properties_of_secret_versions("database-password")}
same(versions, {first.properties.version, second.properties.version})

# update: what is not said stays
same(client.update_secret_properties("database-password", enabled=False, tags={"owner": "billing"}).enabled, False)
with refused(403, "Forbidden"):
    client.get_secret("database-password")
client.update_secret_properties("database-password", second.properties.version, enabled=True)
same(client.get_secret("database-password").properties.tags, {"owner": "billing"})

# list, over more than a page
for i in range(27):
    client.set_secret(f"many-{i}", str(i))
names = [p.name for p in client.list_properties_of_secrets()]
same(len([n for n in names if n.startswith("many-")]), 27)
same(len(set(names)), len(names))

# backup; a restore over what is there is refused
backup = client.backup_secret("database-password")
with refused(409, "Conflict"):
    client.restore_secret_backup(backup)

# delete, recover
deleted = client.begin_delete_secret("database-password", **SOON).result()
assert deleted.recovery_id.endswith("/deletedsecrets/database-password")
assert deleted.scheduled_purge_date > deleted.deleted_date
with refused(404, "SecretNotFound"):
    client.get_secret("database-password")
with refused(409, "Conflict"):
    client.set_secret("database-password", "x")
same([s.name for s in client.list_deleted_secrets()], ["database-password"])
client.begin_recover_deleted_secret("database-password", **SOON).wait()
same(client.get_secret("database-password").value, "second")

# delete, purge, restore: every version is back
client.begin_delete_secret("database-password", **SOON).wait()
client.purge_deleted_secret("database-password")
with refused(404, "SecretNotFound"):
    client.get_deleted_secret("database-password")
client.restore_secret_backup(backup)
same(client.get_secret("database-password").value, "second")
same(client.get_secret("database-password", first.properties.version).value, VALUE)
