"""What the stories share: the credential as every program has it, and small checks."""
import os
from contextlib import contextmanager

from azure.core.exceptions import HttpResponseError
from azure.identity import DefaultAzureCredential

VAULT = os.environ["CHATELAINE_VAULT_URL"]
HSM = os.environ["CHATELAINE_HSM_URL"]
CREDENTIAL = DefaultAzureCredential()

# Deleting and recovering are done when the call returns, so the pollers need not wait.
SOON = {"_polling_interval": 0.01}


@contextmanager
def refused(status, code=None):
    """The call inside is answered with a status and an error code."""
    try:
        yield
    except HttpResponseError as err:
        assert err.status_code == status, f"status {err.status_code}, want {status}: {err.message}"
        if code:
            assert err.error and err.error.code == code, f"code {err.error and err.error.code}, want {code}: {err.message}"
        return
    raise AssertionError(f"accepted, want {status}")


def same(got, want):
    assert got == want, f"got {got!r}, want {want!r}"
