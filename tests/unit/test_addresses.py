"""Origin of a request: a client gains nothing by what it writes into a header."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duologue.core.addresses import address_block, asker, client_address, is_local, parse_networks

CLIENT = "203.0.113.9"
PROXY = "10.0.0.1"
TRUSTED = parse_networks("10.0.0.0/8, 2001:db8:aaaa::/48")


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        (CLIENT, "", CLIENT),
        (CLIENT, "198.51.100.1", CLIENT),
        (CLIENT, f"198.51.100.1, {PROXY}", CLIENT),
        (PROXY, CLIENT, CLIENT),
        (PROXY, f"198.51.100.1, {CLIENT}", CLIENT),
        (PROXY, f"127.0.0.1, {CLIENT}", CLIENT),
        (PROXY, f"{CLIENT}, 10.9.9.9", CLIENT),
        (PROXY, f"198.51.100.1, {CLIENT}, 10.9.9.9, 2001:db8:aaaa::5", CLIENT),
        (PROXY, f"garbage, {CLIENT}", CLIENT),
        (PROXY, f"{PROXY}, {PROXY}, {CLIENT}", CLIENT),
        (PROXY, f"  {CLIENT}  ", CLIENT),
        (f"::ffff:{PROXY}", CLIENT, CLIENT),
        (PROXY, f"::ffff:{CLIENT}", CLIENT),
        ("2001:db8:aaaa::1", "2001:db8:1::2", "2001:db8:1::2"),
    ],
)
def test_the_client_is_the_first_from_the_end_that_is_no_proxy_of_ours(
    peer: str, forwarded: str, address: str
) -> None:
    assert client_address(peer, forwarded, TRUSTED) == address


@pytest.mark.parametrize("peer", [CLIENT, PROXY, "127.0.0.1", "::1"])
def test_without_trusted_proxies_the_header_is_never_looked_at(peer: str) -> None:
    assert client_address(peer, "198.51.100.1", []) == peer


@pytest.mark.parametrize(
    ("hop", "address"),
    [
        (f"{CLIENT}:4711", CLIENT),
        ("[2001:db8:1::2]:4711", "2001:db8:1::2"),
        ("[2001:db8:1::2]", "2001:db8:1::2"),
        ("2001:DB8:1:0::2", "2001:db8:1::2"),
    ],
)
def test_a_port_that_a_proxy_adds_does_not_hide_its_client(hop: str, address: str) -> None:
    assert client_address(PROXY, hop, TRUSTED) == address


@pytest.mark.parametrize(
    "hop", ["", "unknown", "_hidden", "203.0.113.9/32", "203.0.113", "1.2.3.4:99:99", "\x00", "[", "::1%"]
)
def test_what_a_proxy_writes_that_is_no_address_leaves_the_proxy(hop: str) -> None:
    assert client_address(PROXY, hop, TRUSTED) == PROXY


def test_every_hop_being_ours_it_is_the_farthest() -> None:
    assert client_address(PROXY, "10.3.3.3, 10.2.2.2", TRUSTED) == "10.3.3.3"


@given(spoofed=st.lists(st.one_of(st.text(max_size=40), st.ip_addresses().map(str)), max_size=6))
def test_nothing_that_a_client_puts_in_front_changes_who_it_is(spoofed: list[str]) -> None:
    assert client_address(PROXY, ",".join([*spoofed, CLIENT]), TRUSTED) == CLIENT
    assert client_address(CLIENT, ",".join(spoofed), TRUSTED) == CLIENT


@given(peer=st.text(max_size=60), forwarded=st.text(max_size=200))
def test_no_input_is_too_strange(peer: str, forwarded: str) -> None:
    address = client_address(peer, forwarded, TRUSTED)
    assert address_block(address)
    assert asker(address)
    assert is_local(address) in {True, False}


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("203.0.113.9", "203.0.113.0/24"),
        ("203.0.113.255", "203.0.113.0/24"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("2001:db8:1:ffff::", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("", "unknown"),
        ("/run/duologue.sock", "unknown"),
    ],
)
def test_a_block_is_what_one_client_may_have_all_of(address: str, block: str) -> None:
    assert address_block(address) == block


@pytest.mark.parametrize(
    ("address", "one"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("", "unknown"),
    ],
)
def test_a_verification_is_shared_by_one_address_only(address: str, one: str) -> None:
    assert asker(address) == one


@given(st.ip_addresses(v=6))
def test_a_zone_makes_no_difference(address: ipaddress.IPv6Address) -> None:
    assert address_block(f"{address}%eth0") == address_block(str(address))
    assert client_address(f"{address}%eth0", "", []) == client_address(str(address), "", [])


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_is_local(address: str) -> None:
    assert is_local(address)


@pytest.mark.parametrize("address", ["10.0.0.1", "169.254.0.1", "::", "localhost", "", "203.0.113.9"])
def test_nothing_else_is_local(address: str) -> None:
    assert not is_local(address)


@pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy.example", "10.0.0.0/33", "0.0.0.0/0", "::/0"])
def test_networks_that_are_none_or_everybody_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"trusted_proxies: {text} is"):
        parse_networks(text)


def test_no_networks_are_fine() -> None:
    assert parse_networks(" , ") == []
