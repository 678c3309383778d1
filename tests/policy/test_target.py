"""URLs: read once, strictly, and never in two ways."""

import pytest

from htq.policy.target import MAX_URL, parse_target
from htq.words.errors import InvalidField


def test_a_url_is_taken_apart() -> None:
    target = parse_target("HTTP://Example.COM:8080/A%2fb/~x?q='%20\"<>&é=".replace("é", "%C3%A9"))
    assert target.scheme == "http"
    assert (target.host, target.port) == ("example.com", 8080)
    assert target.path_and_query == "/A%2fb/~x?q='%20\"<>&%C3%A9="
    assert target.origin == "http://example.com:8080"
    assert target.host_header == "example.com:8080"
    assert target.address is None


@pytest.mark.parametrize(
    ("url", "path", "origin"),
    [
        ("http://a", "/", "http://a"),
        ("http://a?x=1", "/?x=1", "http://a"),
        ("http://a/?", "/?", "http://a"),
        ("http://a/../b//c", "/../b//c", "http://a"),
        ("https://a:443/", "/", "https://a"),
        ("http://a:443/", "/", "http://a:443"),
        ("http://a:80/", "/", "http://a"),
        ("http://a_b.c-d.e./", "/", "http://a_b.c-d.e."),
        ("http://a/@b:c", "/@b:c", "http://a"),
        ("http://xn--bcher-kva.example/", "/", "http://xn--bcher-kva.example"),
        ("http://1and1.com/", "/", "http://1and1.com"),
        ("http://0x.example/", "/", "http://0x.example"),
    ],
)
def test_path_and_origin(url: str, path: str, origin: str) -> None:
    target = parse_target(url)
    assert (target.path_and_query, target.origin) == (path, origin)


@pytest.mark.parametrize(
    ("url", "host", "header"),
    [
        ("http://127.0.0.1/", "127.0.0.1", "127.0.0.1"),
        ("http://[::1]:8080/", "::1", "[::1]:8080"),
        ("http://[2001:DB8:0:0::1]/", "2001:db8::1", "[2001:db8::1]"),
        ("http://[::ffff:1.2.3.4]/", "::ffff:1.2.3.4", "[::ffff:1.2.3.4]"),
    ],
)
def test_an_address_needs_no_look_up(url: str, host: str, header: str) -> None:
    target = parse_target(url)
    if "." in host and ":" in host:  # spelled either way, depending on the version of Python
        assert target.address in (host, "::ffff:102:304")
    else:
        assert (target.host, target.address, target.host_header) == (host, host, header)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a",
        "//a/",
        "http:a",
        "http:/a",
        "http:///a",
        "http://",
        "http://?x",
        "http://:80/",
        "ftp://a/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http+unix://a/",
        " http://a/",
        "http://a/ ",
        "http://a/b c",
        "http://a/\r\nX: y",
        "http://a/\tb",
        "http://a\t/",
        "http://a/\0",
        "http://a/\x7f",
        "http://a/#b",
        "http://a#b",
        "http://a\\b/",
        "http://a/\\b",
        "http://user@a/",
        "http://user:pass@a/",
        "http://@a/",
        "http://a@b@c/",
        "http://a:/",
        "http://a:0/",
        "http://a:080/",
        "http://a:65536/",
        "http://a:99999/",
        "http://a:1e3/",
        "http://a:-1/",
        "http://a:+1/",
        "http://a:80:80/",
        "http://a:\u0661/",
        "http://b\u00fccher.example/",
        "http://\u2460\u2461\u2466.0.0.1/",
        "http://a\u3002b/",
        "http://a/\u00e9",
        "http://a/\ud800",
        "http://a..b/",
        "http://.a/",
        "http://-a/",
        "http://a-/",
        "http://./",
        "http://a%2eb/",
        "http://" + "a" * 64 + "/",
        "http://" + "a." * 127 + "a/",
        "http://127.1/",
        "http://127.0.0.1./",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://0x/",
        "http://2130706433/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://127.0.0.01/",
        "http://127.0.0.256/",
        "http://1.2.3.4.5/",
        "http://a.1/",
        "http://a.0x1/",
        "http://[::1/",
        "http://::1/",
        "http://[]/",
        "http://[::1]a/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[v1.x]/",
        "http://[127.0.0.1]/",
        "http://[::127.1]/",
        "http://[1::2::3]/",
        "http://a/" + "x" * MAX_URL,
    ],
    ids=lambda url: ascii(url)[:60],
)
def test_what_could_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(InvalidField) as caught:
        parse_target(url)
    assert caught.value.pointer == "/url"
    assert str(caught.value).endswith(".")


def test_the_longest_url_is_taken() -> None:
    url = "http://a/" + "x" * (MAX_URL - 9)
    assert len(parse_target(url).path_and_query) == MAX_URL - 8


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://u:p@a/", "Authorization"),
        ("http://a/#x", "fragment"),
        ("http://a:70000/", "70000"),
        ("a", "http://"),
        ("http://b\u00fccher/", "xn--"),
        ("http://127.1/", "four decimal numbers"),
        ("http://a b/", "space"),
        ("http://a\\b", "backslash"),
    ],
)
def test_the_refusal_says_what_to_do(url: str, words: str) -> None:
    with pytest.raises(InvalidField, match=words):
        parse_target(url)
