"""The metadata addresses: never, in any spelling."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htq.policy.egress import METADATA, Egress, meanings

SECRET = ipaddress.IPv4Address("169.254.169.254")


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "169.254.170.2",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::254%eth0",
        "FD00:0EC2:0:0:0:0:0:254",
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "::a9fe:a9fe",
        "::169.254.169.254",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::a9fe:a9fe",
        "64:ff9b:1:a9fe:a9:fe00::",
        "64:ff9b:1:a9:fe:a9fe::",
        "64:ff9b:1:0:a9:fea9:fe00:0",
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::1",
        "2001:0:102:304:0:0:5601:5601",
    ],
)
def test_metadata_addresses_are_never_dialled(address: str) -> None:
    assert "metadata" in (Egress().judge(address) or "")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "8.8.8.8",
        "::1",
        "2606:4700::1111",
        "::ffff:127.0.0.1",
        "fd00:ec3::1",
        "64:ff9b::8.8.8.8",
        "100.100.100.201",
    ],
)
def test_other_addresses_may_be(address: str) -> None:
    assert Egress().judge(address) is None


@pytest.mark.parametrize("address", ["", "localhost", "127.1", "1.2.3.4.5", "2130706433", "::1::", "[::1]"])
def test_what_is_no_address_is_denied(address: str) -> None:
    assert Egress().judge(address) is not None


def test_a_verdict_is_the_same_when_asked_again() -> None:
    egress = Egress()
    assert egress.judge("169.254.169.254") == egress.judge("169.254.169.254") is not None
    assert egress.judge("127.0.0.1") is egress.judge("127.0.0.1") is None


def test_verdicts_do_not_pile_up() -> None:
    egress = Egress()
    for number in range(10_000):
        egress.judge(str(ipaddress.IPv4Address(0x0A000000 + number)))
    assert len(egress._verdicts) <= 4096


@given(st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address))
def test_an_embedded_address_is_found_in_every_form(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    octets = address.packed
    forms = [
        number,
        (0xFFFF << 32) | number,
        (0x64FF9B << 96) | number,
        (0x2002 << 112) | (number << 80),
        (0x20010000 << 96) | (number << 64),
        (0x20010000 << 96) | (number ^ 0xFFFFFFFF),
        int.from_bytes(bytes.fromhex("0064ff9b0001") + octets[:2] + b"\0" + octets[2:] + bytes(5)),
        int.from_bytes(bytes.fromhex("0064ff9b0001") + bytes(1) + octets[:1] + b"\0" + octets[1:] + bytes(4)),
        int.from_bytes(bytes.fromhex("0064ff9b0001") + bytes(2) + b"\0" + octets + bytes(3)),
        int.from_bytes(bytes.fromhex("0064ff9b0001") + bytes(6) + octets),
    ]
    for form in forms:
        assert address in meanings(ipaddress.IPv6Address(form))


def test_the_list_covers_what_the_clouds_document() -> None:
    assert any(SECRET in network for network in METADATA if network.version == 4)
