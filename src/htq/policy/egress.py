"""Which addresses may be dialled.

The policy judges the address that is really dialled, after the name was resolved: a name proves nothing. Every meaning
of an address counts: an IPv6 address that carries an IPv4 one (mapped, compatible, NAT64, 6to4, Teredo) is judged as both.
`ipaddress.is_global` is not asked, since it takes several of these forms for global.
"""

import ipaddress
from collections.abc import Sequence

__all__ = ["METADATA", "Egress", "meanings"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

METADATA: tuple[Network, ...] = (
    ipaddress.IPv4Network("169.254.0.0/16"),  # AWS, GCP, Azure and most others: all of link-local
    ipaddress.IPv4Network("100.100.100.200/32"),  # Alibaba Cloud
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure's wire server, which looks public
    ipaddress.IPv4Network("192.0.0.192/32"),  # Oracle Cloud
    ipaddress.IPv6Network("fd00:ec2::/32"),  # AWS over IPv6
)
"""Where clouds hand their machine's credentials to whoever asks. Never dialled, in any posture."""

_COMPATIBLE = ipaddress.IPv6Network("::/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
_MOST_VERDICTS = 4096


class Egress:
    """The judge of addresses. Verdicts are kept, since the same few targets are called again and again."""

    __slots__ = ("_never", "_verdicts")

    def __init__(self, never: Sequence[Network] = METADATA) -> None:
        self._never = tuple(never)
        self._verdicts: dict[str, str | None] = {}

    def judge(self, address: str) -> str | None:
        """None if `address` (a literal, v4 or v6) may be dialled; else a sentence that says why not."""
        try:
            return self._verdicts[address]
        except KeyError:
            pass
        if len(self._verdicts) >= _MOST_VERDICTS:
            self._verdicts.clear()
        verdict = self._verdicts[address] = self._look(address)
        return verdict

    def _look(self, address: str) -> str | None:
        try:
            given = ipaddress.ip_address(address)
        except ValueError:
            return f"{address} is not an address that can be judged."
        for meaning in meanings(given):
            if any(meaning in network for network in self._never):
                return f"{address} is a cloud's metadata address, which is never called."
        return None


def meanings(address: Address) -> list[Address]:
    """The address itself, and every IPv4 address that it carries.

    Sources: RFC 4291 2.5.5 (mapped, compatible), RFC 6052 2.2 and RFC 8215 (NAT64), RFC 3056 (6to4), RFC 4380 4 (Teredo:
    the server, and the client with its bits turned over).
    """
    found: list[Address] = [address]
    if address.version == 4:
        return found
    if address.ipv4_mapped is not None:
        found.append(address.ipv4_mapped)
    elif address.sixtofour is not None:
        found.append(address.sixtofour)
    elif address.teredo is not None:
        found.extend(address.teredo)
    elif address in _COMPATIBLE or address in _NAT64:
        found.append(_at(address, 96))
    elif address in _NAT64_LOCAL:
        # An operator may use any prefix length inside this block, and each puts the IPv4 address elsewhere.
        found.extend((_around_u(address, 48), _around_u(address, 56), _at(address, 72), _at(address, 96)))
    if address.scope_id is not None:
        found.append(ipaddress.IPv6Address(int(address)))
    return found


def _at(address: ipaddress.IPv6Address, bit: int) -> ipaddress.IPv4Address:
    """The 32 bits from `bit` on."""
    return ipaddress.IPv4Address(int(address) >> (96 - bit) & 0xFFFFFFFF)


def _around_u(address: ipaddress.IPv6Address, bit: int) -> ipaddress.IPv4Address:
    """The 32 bits from `bit` on that leave out the octet of bits 64 to 71 (RFC 6052, 2.2)."""
    octets = address.packed
    first = bit // 8
    picked = octets[first:8] + octets[9 : 9 + 4 - (8 - first)]
    return ipaddress.IPv4Address(picked)
