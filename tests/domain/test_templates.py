"""Leaves, URLs and headers: what a text renders to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.errors import RenderError, TemplateSyntaxError
from domain.objects import scope
from domain.template_limits import Limits
from domain.templates import compile_text

USER: dict[str, Any] = {
    "id": "u1",
    "userId": "u1",
    "anonymousId": None,
    "email": None,
    "properties": {
        "fullName": "Ann “A” O'Neil",
        "email": "ann@example.com",
        "age": "42",
        "vip": "true",
        "none": "null",
        "score": 1.5,
        "zero": 0,
        "no": False,
        "empty": "",
        "nothing": None,
        "tags": ["a", "b"],
        "data": {"contact": {"email": {"business": "ann@work.example"}}},
        "a key": {"b.c": [10, {"d": "deep"}]},
    },
    "computedProperties": {"ltv": 99},
    "segments": ["trial", "eu"],
    "createdAt": "2026-01-02T03:04:05+00:00",
    "updatedAt": "2026-11-22T09:00:00+00:00",
}
EVENT: dict[str, Any] = {"name": "order_completed", "type": "track", "properties": {"total": 12.5}, "userId": "u1"}
SCOPE = scope(
    user=USER,
    event=EVENT,
    changes=[{"path": "properties.age", "old": "41", "new": "42"}],
    delivery={"id": "d1", "attempt": 2, "destination": {"id": "crm"}, "mapping": {"id": "m"}},
    now=datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
)


def render(text: str) -> Any:
    return compile_text(text).render(SCOPE)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain text", "plain text"),
        ("", ""),
        ("{{ event.name }} by {{ profile.fullName }}", "order_completed by Ann “A” O'Neil"),
        ("{{ user.properties.no }}", "false"),
        ("{{ user.properties.nothing }}", ""),
        ("{{ user.nowhere.at.all }}|{{ nobody }}", "|"),
        ("{{ user.properties.tags }}", "ab"),
        ("{{ user.properties.data }}", '{"contact": {"email": {"business": "ann@work.example"}}}'),
        ("{{ user.properties.score | plus: 1 }}", "2.5"),
        ("{{ changes[0].path }}: {{ changes.first.old }} → {{ changes.last.new }}", "properties.age: 41 → 42"),
        (
            "{{ delivery.id }}/{{ delivery.attempt }}/{{ delivery.destination.id }}/{{ delivery.mapping.id }}",
            "d1/2/crm/m",
        ),
        ("{% for s in user.segments %}{{ s }}{% unless forloop.last %}, {% endunless %}{% endfor %}", "trial, eu"),
        ("{% if user.segments contains 'trial' %}yes{% endif %}", "yes"),
        ("{{ 'a' | append: user.properties.nothing }}", "a"),
        ("{{ 'is ' | append: user.properties.no }}", "is false"),
        ("{{ user.properties.tags | json }}!", '["a", "b"]!'),
        ("{{ 'now' | date: '%Y-%m-%d %H' }}", "2026-11-22 12"),
        ("{{ 0 | date: '%Y-%m-%d %H:%M' }}", "1970-01-01 00:00"),
        ("{{ user.createdAt | date: '%d.%m.%Y' }}", "02.01.2026"),
        ("{{ 'whenever' | date: '%Y' }}", "whenever"),
    ],
)
def test_a_leaf_with_liquid_is_text(text: str, value: str) -> None:
    assert render(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ user.properties.score | json }}", 1.5),
        ("{{- user.segments | json -}}", ["trial", "eu"]),
        ("{{ user.properties.no | json }}", False),
        ("{{ user.nowhere | json }}", None),
        ("{{ user.properties.tags | reverse | json }}", ["b", "a"]),
        ("{{ event | json }}", EVENT),
        (" {{ user.properties.score | json }}", " 1.5"),
        ("{{ user.properties.score | json }}{{ user.properties.zero | json }}", "1.50"),
        ("{{ user.properties.score | json | append: '' }}", "1.5"),
    ],
)
def test_exactly_one_json_output_keeps_the_native_type_and_nothing_else_does(text: str, value: Any) -> None:
    rendered = render(text)
    assert rendered == value
    assert type(rendered) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("profile@age", "42"),
        ("profile@properties.score", 1.5),
        ("Profile@zero", 0),
        ("EVENT@properties.total", 12.5),
        ("profile@data.contact.email.business", "ann@work.example"),
        ("profile@email", "ann@example.com"),
        ("profile@segments.1", "eu"),
        ('profile@properties["a key"]["b.c"].1.d', "deep"),
        ("profile@missing", None),
        ("profile@segments.7", None),
        ("event@...", EVENT),
        ("`profile@age`", 42),
        ("`profile@vip`", True),
        ("`profile@none`", None),
        ("`profile@score`", 1.5),
        ("`profile@fullName`", "Ann “A” O'Neil"),
        ("`12`", 12),
        ("`-1.5e1`", -15.0),
        ("`false`", False),
        ("`null`", None),
    ],
)
def test_a_reference_gives_the_native_value_and_back_ticks_cast_text(text: str, value: Any) -> None:
    rendered = render(text)
    assert rendered == value
    assert type(rendered) is type(value)


@pytest.mark.parametrize(
    "text", ["see profile@age", "user@example.com", "`code`", "`007`", "profile@", "someprofile@age", "profile@a b"]
)
def test_what_only_looks_like_a_reference_or_a_cast_is_text(text: str) -> None:
    assert render(text) == text


def test_the_whole_profile_is_a_reference_without_what_was_never_set() -> None:
    whole = render("profile@...")
    assert whole == {**{k: v for k, v in USER.items() if v is not None}, "email": "ann@example.com"}


def test_what_a_reference_gives_is_a_copy() -> None:
    render("profile@segments").append("intruder")
    assert USER["segments"] == ["trial", "eu"]


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("{{ user.email | shout }}", 1, 17, "unknown filter 'shout'"),
        ("one\n two {{ user", 2, 6, "expected '}}'"),
        ("{% if user %}", 1, 1, ""),
        ("\n\n{% frobnicate %}", 3, 4, "frobnicate"),
        ("{% include 'passwd' %}", 1, 4, "include"),
        ("{% render 'passwd' %}", 1, 4, "render"),
        ("a {% raw %} b", 1, 3, "never closed"),
        ("{{ 'x' | upcase | }}", 1, 1, ""),
        ("{% liquid\nassign x = user.id | nope\n%}", 2, 22, "nope"),
        ("{% for i in (1..3) %}{{ i | nope }}{% endfor %}", 1, 29, "nope"),
    ],
)
def test_a_template_that_does_not_compile_says_where(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        compile_text(text, path="body.template.x")
    error = caught.value
    assert message in error.message
    assert error.line == line
    assert error.column == column or not message
    assert error.details[0].path == "body.template.x"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("ok\n{{ 5 | divided_by: user.properties.zero }}", 2, 8),
        ("{% for i in (1..2) %}\n{{ i | modulo: 0 }}{% endfor %}", 2, 8),
        ("{% break %}", 1, 4),
    ],
)
def test_a_template_that_fails_at_render_time_says_where(text: str, line: int, column: int) -> None:
    template = compile_text(text, path="body")
    with pytest.raises(RenderError) as caught:
        template.render(SCOPE)
    assert (caught.value.line, caught.value.column, caught.value.path) == (line, column, "body")


@pytest.mark.parametrize(
    ("url", "rendered"),
    [
        (
            "https://api.example/u/{{ user.id }}?q={{ user.fullName }}",
            "https://api.example/u/u1?q=Ann%20%E2%80%9CA%E2%80%9D%20O%27Neil",
        ),
        ("https://api.example/{{ 'a/b?c#d&e=f' }}", "https://api.example/a%2Fb%3Fc%23d%26e%3Df"),
        ("https://{{ 'evil.example/x@' }}.api.example/", "https://evil.example%2Fx%40.api.example/"),
        ("/relative/{{ 'a b' }}", "/relative/a%20b"),
        ("{{ 'https://api.example/x' }}/{{ 'a b' }}", "https://api.example/x/a%20b"),
        ("{{ 'evil/..' }}/x", "evil%2F../x"),
        ("https://api.example/?q={{ 'a b' | url_encode }}", "https://api.example/?q=a+b"),
        ("https://api.example/{% if true %}{{ 'ä' }}{% endif %}", "https://api.example/%C3%A4"),
        ("https://api.example/{% capture x %}{{ 'a b' }}/{% endcapture %}{{ x }}", "https://api.example/a%20b%2F"),
        ("https://api.example/{% cycle 'a b' %}", "https://api.example/a%20b"),
        ("profile@segments.0", "trial"),
        ("\n https://api.example/ \n", "https://api.example/"),
    ],
)
def test_values_are_percent_encoded_in_a_url(url: str, rendered: str) -> None:
    assert compile_text(url).render_url(SCOPE) == rendered


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example/u/{{ '..' }}/keys",
        "https://api.example/{{ '.' }}",
        "https://a.example/x y",
        "https://a.example/\r\nX: y",
    ],
)
def test_a_url_that_would_lead_elsewhere_is_refused(url: str) -> None:
    with pytest.raises(RenderError):
        compile_text(url).render_url(SCOPE)


def test_a_header_takes_one_line_only() -> None:
    assert compile_text("Bearer {{ user.id }}").render_header(SCOPE) == "Bearer u1"
    for breaking in ("a\r\nX-Injected: b", "a\nb", "a\rb", "a\x00b"):
        data = scope(user={"properties": {"v": breaking}})
        for text in ("{{ user.v }}", "profile@v"):
            with pytest.raises(RenderError):
                compile_text(text).render_header(data)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("{{ user.properties.no }}", "false"),
        ("profile@zero", "0"),
        ("profile@missing", ""),
        ("profile@segments", "trialeu"),
        ("`12`", "12"),
    ],
)
def test_a_routing_key_is_the_value_as_text(text: str, rendered: str) -> None:
    assert compile_text(text).render_text(SCOPE) == rendered


def test_limits_can_be_set() -> None:
    with pytest.raises(TemplateSyntaxError, match="too long"):
        compile_text("{{ user.id }}", limits=Limits(template_chars=5))
    with pytest.raises(RenderError, match="too much text"):
        compile_text("{{ user.fullName }}", limits=Limits(output_chars=5)).render(SCOPE)
