"""The five formats, the `?` keys, `omit`, and that data never breaks out of its place."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.bodies import Body, RenderedBody, compile_body
from domain.errors import RenderError, TemplateSyntaxError
from domain.objects import scope
from domain.template_limits import Limits

USER: dict[str, Any] = {
    "id": "u1",
    "properties": {
        "name": 'O"Neil \\ & Sons\n',
        "age": 42,
        "zero": 0,
        "no": False,
        "blank_text": "",
        "tags": ["a", "b c"],
        "o": {},
    },
    "segments": ["s1", "s2"],
}
SCOPE = scope(user=USER, event={"name": "n", "properties": {"items": [{"sku": "1", "q": 2}, {"sku": '"2', "q": 1}]}})


def render(template: Any, **settings: Any) -> RenderedBody:
    return compile_body(Body(template=template, **settings)).render(SCOPE)


def test_json_keeps_the_shape_and_the_types_of_the_template() -> None:
    rendered = render(
        {"a": ["{{ user.name }}", 1, None, True, 1.5], "b": {"{{x}}": "{{ user.age | json }}"}, "c": "{{ user.age }}"}
    )
    assert rendered.value == {"a": ['O"Neil \\ & Sons\n', 1, None, True, 1.5], "b": {"{{x}}": 42}, "c": "42"}
    assert rendered.content is not None
    assert json.loads(rendered.content) == rendered.value
    assert (rendered.content_type, rendered.query) == ("application/json", ())


def test_a_key_ending_in_a_question_mark_is_left_out_only_when_its_value_is_missing() -> None:
    template = {
        "zero?": "profile@zero",
        "no?": "{{ user.no | json }}",
        "empty?": "{{ user.blank_text }}",
        "cast?": "`profile@missing`",
        "gone?": "profile@missing.deeper",
        "gone_text?": "{{ user.missing }}",
        "gone_json?": "{{ user.missing | json }}",
        "defaulted?": "{{ user.missing | default: 'x' }}",
        "null?": None,
        "?": "kept",
        "kept": "profile@missing",
        "kept_text": "{{ user.missing }}",
        "inner?": {"gone?": "profile@missing"},
    }
    assert render(template).value == {
        "zero": 0,
        "no": False,
        "empty": "",
        "defaulted": "x",
        "null": None,
        "?": "kept",
        "kept": None,
        "kept_text": "",
        "inner": {},
    }


def test_a_key_with_and_without_question_mark_is_refused() -> None:
    with pytest.raises(TemplateSyntaxError, match="twice") as caught:
        compile_body(Body(template={"a": {"b": 1, "b?": 2}}), path="body")
    assert caught.value.path == "body.template.a.b?"


@pytest.mark.parametrize(
    ("omit", "expected"),
    [
        (
            "none",
            {"n": None, "e": "", "l": [], "o": {}, "z": 0, "f": False, "in": {"n": None}, "list": [None, {"n": None}]},
        ),
        ("null", {"e": "", "l": [], "o": {}, "z": 0, "f": False, "in": {}, "list": [None, {}]}),
        ("empty", {"z": 0, "f": False, "list": [None, {}]}),
    ],
)
def test_omit_drops_members_but_never_zero_or_false(omit: str, expected: dict[str, Any]) -> None:
    template = {
        "n": "profile@missing",
        "e": "{{ user.missing }}",
        "l": [],
        "o": "profile@o",
        "z": "profile@zero",
        "f": "profile@no",
        "in": {"n": None},
        "list": [None, {"n": None}],
    }
    assert render(template, omit=omit).value == expected


JSON_TEXT = """{
  "who": "{{ user.name }}", "age": {{ user.age }}, "none": {{ user.missing }}, "tags": {{ user.tags | json }},
  "greeting": "Hi {% if true %}{{ user.name }}{% endif %} \\"{{ user.id }}\\"",
  "captured": {% capture c %}<{{ user.name }}>{% endcapture %}{{ c }},
  "turn": {% cycle 'a"', 'b' %},
  "items": [{% for item in event.properties.items %}{"sku": {{ item.sku }}, "q": "{{ item.q }}"}{% unless forloop.last %},{% endunless %}{% endfor %}]
}"""  # noqa: E501


def test_json_text_escapes_inside_strings_and_writes_json_outside_them() -> None:
    rendered = render(JSON_TEXT, format="json_text")
    assert rendered.value == {
        "who": USER["properties"]["name"],
        "age": 42,
        "none": None,
        "tags": ["a", "b c"],
        "greeting": f'Hi {USER["properties"]["name"]} "u1"',
        "captured": f"<{USER['properties']['name']}>",
        "turn": 'a"',
        "items": [{"sku": "1", "q": "2"}, {"sku": '"2', "q": "1"}],
    }
    assert rendered.content_type == "application/json"


@pytest.mark.parametrize(
    ("text", "line", "column"), [('{"a": 1,\n "b": }', 2, 7), ("", 1, 1), ("{{ user.name }} x", 1, 23), ("[NaN]", 1, 1)]
)
def test_json_text_that_is_no_json_fails_with_the_position(text: str, line: int, column: int) -> None:
    body = compile_body(Body(format="json_text", template=text), path="mappings.0.body")
    with pytest.raises(RenderError, match="not JSON") as caught:
        body.render(SCOPE)
    assert (caught.value.line, caught.value.column, caught.value.path) == (line, column, "mappings.0.body.template")


FLAT = {
    "name": "{{ user.name }}",
    "a": {"b": {"c": "profile@age"}, "d": "x"},
    "tags": "profile@tags",
    "list": ["1", {"k": "v"}],
    "no": "profile@no",
    "gone?": "profile@missing",
    "null": "profile@missing",
}
PAIRS = (
    ("name", USER["properties"]["name"]),
    ("a[b][c]", "42"),
    ("a[d]", "x"),
    ("tags", "a"),
    ("tags", "b c"),
    ("list", "1"),
    ("list[k]", "v"),
    ("no", "false"),
    ("null", ""),
)


def test_form_is_encoded_after_rendering() -> None:
    rendered = render(FLAT, format="form")
    assert rendered.content_type == "application/x-www-form-urlencoded"
    assert rendered.content is not None
    assert rendered.content.startswith(b"name=O%22Neil+%5C+%26+Sons%0A&a%5Bb%5D%5Bc%5D=42")
    assert tuple(parse_qsl(rendered.content.decode(), keep_blank_values=True)) == PAIRS


def test_query_is_the_same_map_with_no_body() -> None:
    rendered = render(FLAT, format="query")
    assert rendered.query == PAIRS
    assert (rendered.content, rendered.content_type) == (None, None)


def test_text_has_its_own_content_type() -> None:
    rendered = render("<n>{{ user.name | escape }}</n>", format="text", content_type="application/xml")
    assert rendered.content == b"<n>O&quot;Neil \\ &amp; Sons\n</n>"
    assert rendered.content_type == "application/xml"
    assert render("x", format="text").content_type == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    "body",
    [
        {"format": "form", "template": ["a"]},
        {"format": "query", "template": "a"},
        {"format": "text", "template": {}},
        {"format": "json_text", "template": 1},
        {"format": "yaml", "template": {}},
        {"template": {}, "omit": "all"},
        {"template": {}, "unknown": 1},
        {"template": "x", "content_type": "text/plain\r\nX: y"},
        {},
    ],
)
def test_a_body_that_contradicts_itself_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Body.model_validate(body)


def test_errors_name_the_leaf() -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        compile_body(Body(template={"a": [{"b": "x\n{{ y | nope }}"}]}), path="mappings.2.body")
    assert (caught.value.path, caught.value.line) == ("mappings.2.body.template.a.0.b", 2)


def test_limits_hold_for_the_body_as_a_whole() -> None:
    deep: Any = "x"
    for _ in range(40):
        deep = [deep]
    with pytest.raises(TemplateSyntaxError, match="deeply"):
        compile_body(Body(template=deep))
    with pytest.raises(TemplateSyntaxError, match="too many values"):
        compile_body(Body(template=["x"] * 2_001))
    leaves = compile_body(Body(template=["{{ user.name }}"] * 10), limits=Limits(output_chars=100))
    with pytest.raises(RenderError, match="too much text"):
        leaves.render(SCOPE)


TEXTS = st.text(st.characters()) | st.sampled_from(['"', "\\", '\\"', '","x":"', "{{ x }}", "}}", "\u2028", "\ud800"])
SHAPE = {"a": "{{ user.x }}", "b": ["-{{ user.y }}-", {"c": "profile@x"}], "d": "{{ user.y | upcase }}"}


@settings(max_examples=300, deadline=None)
@given(x=TEXTS, y=TEXTS)
def test_any_data_renders_to_json_of_the_templates_own_shape(x: str, y: str) -> None:
    data = scope(user={"properties": {"x": x, "y": y}})
    expected = {"a": x, "b": [f"-{y}-", {"c": x}], "d": y.upper()}
    rendered = compile_body(Body(template=SHAPE)).render(data)
    assert rendered.content is not None
    assert json.loads(rendered.content) == rendered.value == expected


@settings(max_examples=300, deadline=None)
@given(x=TEXTS, y=TEXTS)
def test_no_data_breaks_out_of_its_string_in_json_text(x: str, y: str) -> None:
    text = '{"a": "{{ user.x }}", "b": {{ user.y }}, "c": "<{{ user.x }}{{ user.y }}>"}'
    body = compile_body(Body(format="json_text", template=text))
    assert body.render(scope(user={"properties": {"x": x, "y": y}})).value == {"a": x, "b": y, "c": f"<{x}{y}>"}


def test_the_slack_example() -> None:
    template = {
        "channel": "channel-id",
        "text": "👋 New {{event.name}}  \n"
        "Email: {{user.properties.email | default: 'Unknown' }} \n"
        "UserId: {{event.userId}}",
    }
    body = compile_body(Body(template=template))
    known = scope(user={"properties": {"email": "a@b.c"}}, event={"name": "page_view", "userId": "u1"})
    assert body.render(known).value == {
        "channel": "channel-id",
        "text": "👋 New page_view  \nEmail: a@b.c \nUserId: u1",
    }
    unknown = scope(user={"properties": {}}, event={"name": "page_view", "userId": "u1"})
    assert body.render(unknown).value["text"] == "👋 New page_view  \nEmail: Unknown \nUserId: u1"


def test_the_profile_sync_example() -> None:
    template = {
        "profile": {
            "name": "{{user.properties.fullName}}",
            "email": "{{user.properties.email}}",
            "email_verified": "{{user.properties.emailVerified}}",
            "locale": "{{user.properties.locale}}",
        }
    }
    user = {"properties": {"fullName": "Ann O'Neil", "email": "a@b.c", "emailVerified": True, "locale": "en-GB"}}
    assert compile_body(Body(template=template)).render(scope(user=user)).content == (
        b'{"profile":{"name":"Ann O\'Neil","email":"a@b.c","email_verified":"true","locale":"en-GB"}}'
    )


def test_the_generic_webhook_example() -> None:
    properties = {"order_id": "o-1", "total": 12.5, "items": [{"sku": 'a"b', "quantity": 2}], "paid": False}
    event = scope(user={"id": "u1"}, event={"name": "order_completed", "properties": properties})
    for template in ("{{ event.properties | json }}", "event@properties"):
        rendered = compile_body(Body(template=template)).render(event)
        assert rendered.content is not None
        assert json.loads(rendered.content) == properties
