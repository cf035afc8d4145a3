"""Keys of age in the vault: the newest comes first, the others stay for the sets that need them."""

from __future__ import annotations

import pyrage
import pytest
from ansible.module_utils.erni import age_keys, rotation_plan
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.keyring import Keyring
from ansible.module_utils.erni.secrets import SecretSpec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

OLD = str(pyrage.x25519.Identity.generate())
OF_SSH = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
SPEC = SecretSpec("backup_identity", optional=True, rotation="generated", key_ring=True)


def opens(text: str, recipient: str) -> bool:
    sealed = pyrage.encrypt(b"rows", [pyrage.x25519.Recipient.from_str(recipient)])
    keys = [pyrage.x25519.Identity.from_str(line) for line in text.splitlines() if line.startswith(age_keys.MARK)]
    return bool(pyrage.decrypt(sealed, keys) == b"rows")


@pytest.mark.parametrize("text", ["", "# a comment\n", OF_SSH])
def test_a_text_without_such_a_key_has_no_recipient(text: str) -> None:
    assert age_keys.recipients(text) == []


def test_a_new_key_comes_first_and_opens_what_is_encrypted_from_now_on_and_the_old_one_what_was() -> None:
    before = f"# created: once\n{OLD}\n"
    fresh = rotation_plan.fresh_values([SPEC], [SPEC.name], "", Keyring({SPEC.name: before}))[SPEC.name]
    (old,) = age_keys.recipients(before)
    assert age_keys.recipients(fresh)[1:] == [old]
    (newest,) = age_keys.newest_recipient(fresh)
    assert newest != old
    assert opens(fresh, newest)
    assert opens(fresh, old)
    assert before.strip() in fresh


def test_a_key_that_was_cut_off_is_told_by_its_line_and_not_shown() -> None:
    with pytest.raises(PlatformError, match="Line 2 of backup_identity is not a private key of age") as refused:
        age_keys.recipients(f"# mine\n{OLD[:-3]}\n")
    assert OLD[:-3] not in str(refused.value)


def test_an_environment_without_such_a_secret_does_not_rotate_it() -> None:
    assert rotation_plan.chosen([SPEC], ["all"], Keyring({})) == []
