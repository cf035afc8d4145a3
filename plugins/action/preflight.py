"""Action: everything that could stop a run, found at once, before anything is touched.

On the control node it checks secrets, settings, the roles' argument specs and the given certificate; the module
``host_preflight`` checks the host. The result carries ``findings``; errors among them fail the task.
"""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

import ansible.module_utils
import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase

# On the control node the project's logic is found under the name that it has inside modules, too.
ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[2] / "module_utils"))

from ansible.module_utils.erni import certificate, offsite_settings, secret_homes, secrets
from ansible.module_utils.erni.errors import PlatformError
from ansible.module_utils.erni.files import digest
from ansible.module_utils.erni.findings import Finding, as_dicts
from ansible.module_utils.erni.replicas import fitting
from ansible.module_utils.erni.settings_preflight import (
    FILL_IN,
    check_archive,
    check_live_restore,
    check_replicas,
    check_settings,
    unfilled,
)

OWN_PREFIXES = (
    "platform_",
    "postgres_",
    "redis_",
    "backend_",
    "frontend_",
    "nginx_",
    "docker_engine_",
    "release_",
    "backup_",
    "erni_",
    "trusted_",
)
APPLICATION = ("backend", "frontend")


class ActionModule(ActionBase):
    """Arguments: ``host`` (those of host_preflight), ``secret_specs``, ``secrets``, ``roles_path``, ``roles`` (names
    whose variables are checked). Variables are seen as the roles will see them, defaults included."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        self._templar.available_variables = self._as_roles_see(variables)
        findings = self._unfilled(variables)
        if findings:  # an address may be among them, so the host is not asked
            return result | self._verdict(as_dicts(findings))
        looked = self._execute_module(
            module_name="host_preflight", module_args=self._host_arguments(), task_vars=variables
        )
        if looked.get("failed") or "findings" not in looked:
            return result | looked | {"failed": True}
        facts = looked["ansible_facts"]
        self._templar.available_variables = self._as_roles_see(variables | facts)
        findings = self._control_findings(variables)
        problems = facts["platform_host"]["certificate"]["problems"]
        return result | {
            **self._verdict(as_dicts(findings) + looked["findings"]),
            "changed": False,
            "ansible_facts": facts,
            "actions": [f"a certificate is to be issued: {'; '.join(problems)}"] if problems else [],
        }

    def _verdict(self, findings: list[dict[str, str]]) -> dict[str, Any]:
        count = sum(finding["severity"] == "error" for finding in findings)
        if not count:
            return {"findings": findings}
        things = "1 thing" if count == 1 else f"{count} things"
        msg = f"Preflight found {things} to mend; nothing was touched."
        return {"findings": findings, "failed": True, "msg": msg}

    def _unfilled(self, variables: dict[str, Any]) -> list[Finding]:
        own = (*OWN_PREFIXES, "ansible_host", "ansible_user")
        return unfilled({name: value for name, value in variables.items() if name.startswith(own)})

    def _host_arguments(self) -> dict[str, Any]:
        """What is asked of the host: the task's arguments, and what only the other roles know."""
        given = self._value("platform_given_images")
        here = [
            reference for service, reference in given.items() if reference and service in self._value("group_names")
        ]
        arguments = self._task.args["host"] | {
            "packages": self._value("docker_engine_packages"),
            "live_restore": self._value("docker_engine_live_restore"),
            "images": [reference for reference in here if FILL_IN not in reference],
            "programs": self._programs(),
            "credentials": self._value("__platform_credentials"),
        }
        if "nginx" in self._value("group_names"):
            given = self._given_certificate()
            arguments["certificate"] = {
                "chain": self._value("__nginx_chain"),
                "key": self._value("__nginx_key"),
                "names": self._value("nginx_certificate_names"),
                "min_days": 0 if given else self._value("nginx_certificate_renew_days"),
                "given": given,
            }
        return arguments

    def _given_certificate(self) -> list[str]:
        """Digests of the chain and the key that an operator gives. What cannot be read is a finding by itself."""
        if self._value("nginx_certificate_source") != "files":
            return []
        contents = []
        for name in ("nginx_certificate_file", "nginx_certificate_key_file"):
            try:
                contents.append(Path(self._loader.get_real_file(self._value(name))).read_bytes())
            except (AnsibleError, OSError):
                return []
        return [digest(content) for content in contents]

    def _programs(self) -> dict[str, str]:
        """What given images must have that the official ones have not; those that are built here have it."""
        image = self._value("postgres_image")
        archived = self._value("postgres_archive") and "postgres" in self._value("group_names")
        return {image: "/usr/bin/pgbackrest"} if archived and image and FILL_IN not in image else {}

    def _control_findings(self, variables: dict[str, Any]) -> list[Finding]:
        arguments = self._task.args
        specs = [secrets.SecretSpec.from_mapping(spec) for spec in arguments["secret_specs"]]
        vault = variables.get("erni_vault_file", "the environment's vault.yml")
        editing = ""
        if home := self._value("erni_secrets_home"):
            store = secret_homes.opened(home)
            vault, editing = store.place, store.editing
        findings = secrets.findings(specs, arguments["secrets"], vault, editing)
        if findings:  # what follows would only repeat them in other words
            return findings
        for role in arguments["roles"]:
            findings += self._check_role(role)
        if not findings:
            findings += self._check_images() + self._check_settings()
            findings += self._check_replicas() + self._check_certificate()
            findings += self._check_archive() + self._check_offsite()
        return findings

    def _as_roles_see(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The roles' defaults below the play's variables, their internal variables above."""
        below: dict[str, Any] = {}
        above: dict[str, Any] = {}
        for role in self._task.args["roles"]:
            below |= self._role_file(role, "defaults")
            above |= self._role_file(role, "vars")
        return below | variables | above

    def _role_file(self, role: str, kind: str) -> dict[str, Any]:
        path = os.path.join(self._task.args["roles_path"], role, kind, "main.yml")
        if not os.path.isfile(path):
            return {}
        return self._loader.load_from_file(path, trusted_as_template=True) or {}

    def _value(self, name: str) -> Any:
        return self._templar.template(self._templar.available_variables[name])

    def _check_role(self, role: str) -> list[Finding]:
        """Validate the role's variables as its entry point ``up`` would, but before any role runs."""
        path = os.path.join(self._task.args["roles_path"], role, "meta", "argument_specs.yml")
        with open(path, encoding="utf-8") as handle:
            options = yaml.safe_load(handle)["argument_specs"]["up"].get("options", {})
        values, found = {}, []
        for name in options:
            if name not in self._templar.available_variables:
                continue
            try:
                values[name] = self._value(name)
            except AnsibleError as error:
                found.append(self._malformed(role, f"{name} cannot be evaluated: {error.message}"))
        validated = ArgumentSpecValidator(options).validate(values)
        return found + [self._malformed(role, message) for message in validated.error_messages]

    def _check_images(self) -> list[Finding]:
        """From a registry each service needs a reference; elsewhere those that are built need a source."""
        given = self._value("platform_given_images")
        if self._value("platform_registry_username") and not self._value("platform_registry_password"):
            remedy = "Put registry_password into the environment's vault (ansible-vault edit)."
            return [Finding("The registry's password is missing", "platform_registry_username is set", remedy)]
        unnamed = [service for service, reference in given.items() if not reference]
        built = [service for service in unnamed if self._is_built(service)]
        return [finding for service in built for finding in self._check_source(service)] + [
            Finding(
                f"The service {service} has no image",
                f"platform_image_source is registry and {service}_image is empty",
                f"Set {service}_image to a reference, by digest where it matters.",
            )
            for service in unnamed
            if service not in built
        ]

    def _is_built(self, service: str) -> bool:
        """A release from a repository is built wherever the other images come from."""
        from_git = bool(self._templar.available_variables.get("release_commit")) and service in APPLICATION
        return from_git or self._value("platform_image_source") != "registry"

    def _check_source(self, service: str) -> list[Finding]:
        context = os.path.join(self._value("platform_source_root"), self._value("platform_images")[service]["context"])
        if os.path.isfile(os.path.join(context, "Dockerfile")):
            return []
        return [
            Finding(
                f"The image of {service} has no source",
                f"there is no Dockerfile in {context}",
                f"Correct platform_images or platform_application_root, or set {service}_image to pull one.",
            )
        ]

    def _check_settings(self) -> list[Finding]:
        return check_settings(
            hostname=self._value("platform_public_hostname"),
            public_url=self._value("nginx_public_url"),
            allowed_hosts=self._value("backend_allowed_hosts"),
            cors_origins=self._value("backend_cors_origins"),
            strict=self._value("platform_environment") == "production",
        ) + check_live_restore(self._value("docker_engine_live_restore"), self._value("platform_network_driver"))

    def _check_replicas(self) -> list[Finding]:
        found = []
        for service in [name for name in APPLICATION if name in self._value("group_names")]:
            hosts = len(self._value("groups")[service])
            fits = fitting(self._value("platform_slot_addresses")[service], hosts)
            found += check_replicas(service, int(self._value(f"{service}_replicas")), fits, hosts)
        return found

    def _check_archive(self) -> list[Finding]:
        if "postgres" not in self._value("group_names"):
            return []
        timeout = int(self._value("postgres_archive_timeout"))
        return check_archive(self._value("postgres_archive"), self._task.args["secrets"], timeout)

    def _check_offsite(self) -> list[Finding]:
        settings = self._value("backup_offsite")
        found = offsite_settings.findings(settings, self._value("backup_offsite_secret"))
        if self._value("platform_environment") == "production":
            found += offsite_settings.production_findings(settings, self._value("__backup_recipients"))
        return found

    def _malformed(self, role: str, message: str) -> Finding:
        return Finding(
            f"A variable of the role {role} is malformed",
            message,
            f"roles/{role}/README.md lists the variables; correct it in the inventory.",
        )

    def _check_certificate(self) -> list[Finding]:
        """A certificate that an operator gives; the ones that the platform gets itself are renewed in time."""
        if self._value("nginx_certificate_source") != "files":
            return []
        paths = [self._value(name) for name in ("nginx_certificate_file", "nginx_certificate_key_file")]
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None)
        try:
            found = certificate.read(*(self._loader.get_real_file(path) for path in paths))
        except (AnsibleError, PlatformError) as error:
            return [Finding("The given certificate cannot be read", str(error), "Correct nginx_certificate_file.")]
        names, days = self._value("nginx_certificate_names"), self._value("nginx_certificate_renew_days")
        return [
            Finding(
                f"The certificate {paths[0]} cannot be used",
                problem,
                "Get a new one, or correct nginx_certificate_file, its key_file or its names.",
            )
            for problem in certificate.problems(found, names, int(days), now)
        ]
