from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from connectors.messages import OutboundRequest
from connectors.redirects import next_hop
from connectors.urls import MAX_URL_CHARACTERS, checked_url
from domain.errors import AddressRefused

REFUSED = [
    "",
    "example.com/path",
    "//example.com/",
    "http:",
    "http://",
    "http:///path",
    "http:example.com",
    "http://:80/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "unix:///run/docker.sock",
    "http+unix://%2Frun%2Fdocker.sock/info",
    "gopher://example.com/",
    "javascript:alert(1)",
    "http://user@example.com/",
    "http://user:password@example.com/",
    "http://example.com@127.0.0.1/",
    "http://example.com:80@127.0.0.1/",
    "http://:@example.com/",
    "http://127.0.0.1\\@example.com/",
    "http://example.com\\.internal/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0x7f000001/",
    "http://0X7F.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://0177.0.0.1/",
    "http://127.0.0.01/",
    "http://127.0.0.1./",
    "http://127.0.0.0x1/",
    "http://1.2.3.4.5/",
    "http://256.1.1.1/",
    "http://0/",
    "http://a..b/",
    "http://.a/",
    "http://a b/",
    "http://a%2eb/",
    "http://127%2e0%2e0%2e1/",
    "http://[fe80::1%25eth0]/",
    "http://[::1/",
    "http://[127.0.0.1]/",
    "http://[v1.x]/",
    "http://a:99999/",
    "http://a:b/",
    "http://a/\r\nX: y",
    "http://a\n.b/",
    "http://１２７.0.0.1/",
    "http://⑫⑦.0.0.1/",
]
READ = [
    ("https://example.com", "https://example.com"),
    ("HTTPS://Example.COM/a?b=c#d", "https://example.com/a?b=c#d"),
    ("https://example.com:443/", "https://example.com/"),
    ("http://example.com.:8080/", "http://example.com.:8080/"),
    ("http://bücher.example/", "http://xn--bcher-kva.example/"),
    ("http://under_score.example/", "http://under_score.example/"),
    ("http://[2606:4700::1111]/", "http://[2606:4700::1111]/"),
    ("http://[::ffff:127.0.0.1]/", "http://[::ffff:127.0.0.1]/"),
    ("http://127.0.0.1:9/", "http://127.0.0.1:9/"),
    ("http://3com.com/", "http://3com.com/"),
    ("http://localhost/a%2Fb?x=%7E", "http://localhost/a%2Fb?x=%7E"),
]


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_that_is_not_plainly_one_web_address_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        checked_url(url)


@pytest.mark.parametrize(("url", "read"), READ)
def test_a_plain_web_address_is_read(url: str, read: str) -> None:
    assert str(checked_url(url)) == read


def test_a_url_longer_than_any_server_takes_is_refused() -> None:
    with pytest.raises(AddressRefused, match="longer"):
        checked_url("https://example.com/" + "a" * MAX_URL_CHARACTERS)


URL_PIECES = st.lists(
    st.sampled_from(
        ["http:", "https:", "//", "/", "\\", "@", ":", "80", "127.0.0.1", "[", "]", "::1", "%", "%00", "?", "#"]
    )
    | st.text(max_size=5)
).map("".join)


@given(st.text() | URL_PIECES | URL_PIECES.map("http://".__add__))
@example("http://[::ffff:127.0.0.1%25lo]/")
@example("http://a\ud800/")
def test_any_text_is_read_alike_by_both_parsers_or_refused(text: str) -> None:
    try:
        url = checked_url(text)
    except AddressRefused:
        return
    connected = URL(str(url))
    assert connected.scheme in ("http", "https") and connected.user is None and connected.password is None
    assert connected.raw_host and (":" in connected.raw_host or connected.raw_host == url.raw_host.decode())


@given(st.text() | URL_PIECES)
@example("http://[")
@example("\ud800")
def test_any_redirect_target_is_followed_or_refused(location: str) -> None:
    request = OutboundRequest("POST", "https://example.com/a", (("Authorization", "abc"),))
    try:
        hop = next_hop(request, 307, location)
    except AddressRefused:
        return
    assert hop.headers == request.headers or checked_url(hop.url).host != "example.com" or checked_url(hop.url).port
