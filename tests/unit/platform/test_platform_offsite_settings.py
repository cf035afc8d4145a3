"""Where copies of the sets go: bad values are told before anything is touched, and a secret is never told."""

from __future__ import annotations

from secrets import token_urlsafe
from typing import Any

import pytest
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.offsite_settings import (
    Target,
    environment_of,
    files_of,
    findings,
    production_findings,
    root,
    target_from,
)

KIND = "OPENSSH PRIVATE KEY"
PRIVATE = token_urlsafe(32)
KEY = f"-----BEGIN {KIND}-----\n{PRIVATE}\n-----END {KIND}-----"
S3 = {"type": "s3", "endpoint": "https://s3.example.org", "bucket": "erni-backups", "access_key_id": "erni"}
SFTP = {
    "type": "sftp",
    "host": "vault.example.org",
    "user": "erni",
    "path": "/srv/erni",
    "known_hosts": "vault.example.org ssh-ed25519 AAAA\n# a comment\n[vault]:2222 ecdsa-sha2-nistp256 AAAA x",
}
FOLDER = {"type": "folder", "path": "/mnt/backups"}
SECRETS = {"s3": "the-secret-key-of-it", "sftp": KEY, "folder": ""}
SETTINGS: list[dict[str, Any]] = [S3, SFTP, FOLDER]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        *SETTINGS,
        S3 | {"region": "eu", "path": "a/b", "ca_file": "/etc/ca.crt", "reread_days": 0},
        SFTP | {"port": 2222, "host": "2001:db8::1"},
        FOLDER | {"mounted": False},
    ],
)
def test_a_target_that_is_told_whole_has_no_findings(settings: dict[str, Any]) -> None:
    assert findings(settings, SECRETS.get(settings.get("type", ""), "")) == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"type": "ftp"}, "backup_offsite.type cannot be used: it is 'ftp', and there are s3, sftp, folder"),
        ({"bucket": "x"}, "backup_offsite.type cannot be used: it is 'None'"),
        (S3 | {"host": "x"}, "backup_offsite.host cannot be used: s3 has type, path"),
        (S3 | {"secret": "x"}, "backup_offsite.secret cannot be used"),
        ({"type": "s3"}, "backup_offsite.endpoint cannot be used: s3 needs it"),
        (SFTP | {"known_hosts": ""}, "backup_offsite.known_hosts cannot be used: sftp needs it"),
        (SFTP | {"port": "22"}, "backup_offsite.port cannot be used: it has to be a number"),
        (SFTP | {"port": True}, "backup_offsite.port cannot be used"),
        (SFTP | {"port": 0}, "0 is no port"),
        (SFTP | {"host": "-oProxyCommand=x"}, "is no name of a host"),
        (SFTP | {"known_hosts": "SHA256:abc"}, "it does not hold lines as ssh-keyscan prints them"),
        (SFTP | {"known_hosts": "# only a comment"}, "it does not hold lines as ssh-keyscan prints them"),
        (S3 | {"endpoint": "s3.example.org"}, "it is no URL of the form https://host[:port]"),
        (S3 | {"endpoint": "https://me:pw@s3.example.org"}, "it is no URL of the form https://host[:port]"),
        (S3 | {"bucket": "erni/backups"}, "is no name of a bucket"),
        (S3 | {"path": "../other"}, "'../other' is no path without '..'"),
        (FOLDER | {"path": "backups"}, "'backups' does not begin with /"),
        (FOLDER | {"path": "/a\nb"}, "is no path"),
        (FOLDER | {"reread_days": -1}, "it is negative"),
        (FOLDER | {"mounted": "no"}, "it has to be true or false"),
    ],
)
def test_a_bad_value_is_a_finding(settings: dict[str, Any], told: str) -> None:
    found = findings(settings, SECRETS.get(str(settings.get("type")), "x"))
    assert found
    assert told in f"{found[0].what}: {found[0].why}"
    assert all(finding.severity == "error" and finding.remedy for finding in found)


def test_values_of_ansibles_own_types_are_accepted() -> None:
    class Tagged(str):
        """Ansible gives text of a subclass, which knows where it comes from."""

        __slots__ = ()

    assert findings({name: Tagged(value) for name, value in S3.items()}, "the-secret-key-of-it") == []


@pytest.mark.parametrize(
    ("settings", "secret", "told"),
    [
        (S3, "", "secret is missing"),
        (SFTP, "", "secret is missing"),
        (SFTP, "a-password-say", "cannot be used"),
    ],
)
def test_a_secret_that_is_missing_or_of_another_kind_is_named_and_not_shown(
    settings: dict[str, Any], secret: str, told: str
) -> None:
    (found,) = findings(settings, secret)
    assert told in found.what
    assert f"backup_offsite_{'s3_secret' if settings is S3 else 'ssh'}_key" in found.remedy
    assert "a-password-say" not in str(found)


@pytest.mark.parametrize("settings", SETTINGS)
def test_in_production_nothing_leaves_that_is_not_encrypted(settings: dict[str, Any]) -> None:
    assert production_findings(settings, ["age1x"]) == []
    (found,) = production_findings(settings, [])
    assert found.what == "backup_recipients is empty, and backup_offsite is set"
    assert production_findings({}, []) == []


def test_in_production_a_bucket_is_asked_over_tls() -> None:
    assert [one.why for one in production_findings(S3 | {"endpoint": "http://x"}, ["age1x"])] == [
        "in production it has to be https"
    ]


def test_all_that_is_wrong_is_one_sentence() -> None:
    with pytest.raises(PlatformError, match=r"bucket cannot be used: s3 needs it; .*access_key_id") as refused:
        target_from({"type": "s3", "endpoint": "https://x"}, "the-secret-key-of-it")
    assert "the-secret-key-of-it" not in str(refused.value)


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_target_does_not_show_its_secret(settings: dict[str, Any]) -> None:
    target = target_from(settings, SECRETS[settings["type"]])
    for text in (repr(target), target.where, root(target, "local")):
        assert PRIVATE not in text
        assert "the-secret-key-of-it" not in text


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (S3, "offsite:erni-backups/local"),
        (S3 | {"path": "a/b"}, "offsite:erni-backups/a/b/local"),
        (SFTP, "offsite:/srv/erni/local"),
        (SFTP | {"path": "erni"}, "offsite:erni/local"),
        (FOLDER, "offsite:/mnt/backups/local"),
    ],
)
def test_each_environment_has_a_folder_of_its_own(settings: dict[str, Any], expected: str) -> None:
    assert root(target_from(settings, SECRETS[settings["type"]]), "local") == expected


def test_rclone_gets_all_of_it_by_its_environment() -> None:
    bucket = environment_of(target_from(S3, "the-secret-key-of-it"), {})
    assert bucket["RCLONE_CONFIG_OFFSITE_SECRET_ACCESS_KEY"] == "the-secret-key-of-it"
    assert bucket["RCLONE_CONFIG_OFFSITE_NO_CHECK_BUCKET"] == "true"
    host = target_from(SFTP, KEY)
    assert files_of(host) == {"known_hosts": SFTP["known_hosts"] + "\n", "key": KEY + "\n"}
    told = environment_of(host, {"key": "/dev/fd/3", "known_hosts": "/dev/fd/4"})
    assert told["RCLONE_CONFIG_OFFSITE_KNOWN_HOSTS_FILE"] == "/dev/fd/4"
    assert PRIVATE not in str(told)
    assert environment_of(target_from(FOLDER, ""), {}) == {"RCLONE_CONFIG_OFFSITE_TYPE": "local"}
    assert Target("folder", "/x").where == "the folder /x"
