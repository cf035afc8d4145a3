"""While an engine starts, who connects to a published port waits for a moment and is not refused."""

from __future__ import annotations

import pytest
from ansible.module_utils.erni import published_ports
from ansible.module_utils.erni.published_ports import iptables, nobody_refused, published, rule

# As Debian 12's iptables lists the chain of an engine that was killed, with two ports of a container published.
RULES = """\
-N DOCKER
-A DOCKER -i docker0 -j RETURN
-A DOCKER -i br-c119b412bd90 -j RETURN
-A DOCKER ! -i br-c119b412bd90 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.30.10.2:443
-A DOCKER -d 127.0.0.1/32 ! -i br-c119b412bd90 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.30.10.2:80
-A DOCKER ! -i br-c119b412bd90 -p udp -m udp --dport 53 -j DNAT --to-destination 10.30.10.3:53
"""


@pytest.mark.parametrize(
    ("rules", "ports"), [(RULES, [443, 8080]), ("", []), ("-N DOCKER\n-A DOCKER -i docker0 -j RETURN\n", [])]
)
def test_the_engines_own_rules_tell_what_is_published(rules: str, ports: list[int]) -> None:
    assert published(rules) == ports


class Firewall:
    def __init__(self, rules: str) -> None:
        self.nat, self.dropped = rules, [" ".join(rule(22))]

    def __call__(self, verb: str, *words: str) -> str:
        if verb == "--table":
            assert words == ("nat", "--list-rules", "DOCKER")
            return self.nat
        getattr(self.dropped, {"--insert": "append", "--delete": "remove"}[verb])(" ".join(words))
        return ""


def test_what_would_be_refused_is_dropped_for_as_long_as_the_engine_starts() -> None:
    firewall = Firewall(RULES)
    with nobody_refused(firewall):
        assert firewall.dropped[1:] == [" ".join(rule(443)), " ".join(rule(8080))]
        assert all("! --in-interface lo" in told and "--syn" in told for told in firewall.dropped)
    assert firewall.dropped == [" ".join(rule(22))], "nothing of it stays, and nothing else goes"


def test_an_engine_that_does_not_start_leaves_nothing_of_it_either() -> None:
    firewall = Firewall(RULES)
    with pytest.raises(RuntimeError), nobody_refused(firewall):
        raise RuntimeError
    assert firewall.dropped == [" ".join(rule(22))], "nothing of it stays, and nothing else goes"


def test_where_nothing_is_published_the_firewall_is_left_alone() -> None:
    firewall = Firewall("")
    with nobody_refused(firewall):
        assert firewall.dropped == [" ".join(rule(22))]


def test_a_host_without_such_a_firewall_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert iptables("--list") == ""
    with nobody_refused(published_ports.iptables):
        pass
