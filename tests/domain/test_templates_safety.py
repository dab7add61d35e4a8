"""No template can hang, exhaust memory, or reach anything but the objects it is given."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import RenderError, TemplateSyntaxError
from domain.objects import scope
from domain.template_engine import _ENVIRONMENT as ENGINE
from domain.templates import compile_text

BIG = scope(
    user={
        "id": "u1",
        "properties": {
            "text": "a" * 250_000,
            "numbers": list(range(50_000)),
            "objects": [{"a": i} for i in range(9_000)],
            "texts": [str(i) for i in range(9_000)],
            "date": "1 " * 49,
            "deep": {"a": {"b": [{"c": i} for i in range(9_000)]}},
            "deeper": {"a": {"b": [{"c": i} for i in range(9_000)]}},
        },
    },
    event={"name": "n"},
)

TOO_MUCH = {
    "squaring": "{% assign x = 99999999999 %}{% for i in (1..40) %}{% assign x = x | times: x %}{% endfor %}{{ x }}",
    "doubling a text": "{% assign x = user.text %}{% for i in (1..40) %}{% assign x = x | append: x %}{% endfor %}",
    "doubling a list": "{% assign x = user.objects %}{% for i in (1..40) %}{% assign x = x | concat: x %}{% endfor %}",
    "replacing each letter": "{{ user.text | replace: 'a', user.text }}",
    "replacing nothing": "{{ user.text | replace: '', user.text }}",
    "joining with a long glue": "{{ user.objects | join: user.text }}",
    "a long range joined": "{{ (1..9999999999) | join }}",
    "a long range searched": "{% assign r = (1..99999999999999) %}{% if r contains 'x' %}a{% endif %}",
    "a long range reversed": "{% for i in (1..9999999999) reversed %}{% endfor %}",
    "a long range in a when": "{% case 1 %}{% when (1..99999999999999999999) %}{% endcase %}",
    "a long range as an argument": "{{ 1 | plus: (1..99999999999999999999) }}",
    "loops in loops": "{% for i in (1..9999) %}{% for j in (1..9999) %}{% endfor %}{% endfor %}",
    "loops one after another": "{% for i in (1..9999) %}{% endfor %}" * 800,
    "a long body in a loop": "{% for i in (1..9999) %}" + "{% if true %}{% endif %}" * 1000 + "{% endfor %}",
    "rows in rows": "{% tablerow i in (1..999) %}{% tablerow j in (1..999) %}{% endtablerow %}{% endtablerow %}",
    "a when that matches many times": "{% case 1 %}{% when 1,1,1,1,1,1,1,1 %}" * 20 + "x" + "{% endcase %}" * 20,
    "searching a list again and again": "{% for i in (1..9000) %}{% if user.numbers == x %}{% endif %}{% endfor %}",
    "writing JSON again and again": "{% for i in (1..9000) %}{% assign x = user | json %}{% endfor %}",
    "a long date pattern": "{% assign p = user.text | replace: 'a', '%c' %}{{ 0 | date: p }}",
    "comparing objects again and again": "{% for i in (1..9000) %}{% if user.deep == user.deeper %}{% endif %}{% endfor %}",
    "searching a text again and again": "{% for i in (1..9000) %}{% if user.text contains 'aab' %}{% endif %}{% endfor %}",
    "reading dates again and again": "{% for i in (1..9000) %}{{ user.date | date: '%Y' }}{% endfor %}",
    "telling objects apart again and again": "{% for i in (1..9000) %}{% assign x = user.objects | uniq %}{% endfor %}",
    "a key of thousands of objects": "{{ user.texts | map: user.objects }}",
    "a long value for each item": "{{ user.objects | where: 'a', user.numbers }}{{ user.objects | where: user.text }}",
    "too many variables": "{% for i in (1..9) %}"
    + "".join(f"{{% assign v{i} = 1 %}}" for i in range(1_200))
    + "{% endfor %}",
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", TOO_MUCH.values(), ids=TOO_MUCH)
def test_a_template_that_wants_too_much_fails(text: str) -> None:
    with pytest.raises(RenderError):
        compile_text(text).render(BIG)


NEVER_CLOSED = {
    "outputs": "{{" * 16_000,
    "tags": "{%" * 16_000,
    "spaces": "{{" + " " * 32_000,
    "spaces in a tag": "{% if" + " " * 32_000,
    "spaces between words": "{{ a" + " " * 30_000 + "b }}",
    "raw blocks": "{% raw %}" * 3_600,
    "raw blocks with outputs": "{% raw %}{{" * 2_900,
    "comments": "{% comment %}" * 2_500,
    "brackets": "{{ " + "a[" * 3_000 + "'x'" + "]" * 3_000 + " }}",
    "blocks": "{% if true %}" * 1_000 + "{% endif %}" * 1_000,
    "a text beyond the limit": "{{ a }}" * 5_000,
}


@pytest.mark.parametrize("text", NEVER_CLOSED.values(), ids=NEVER_CLOSED)
def test_a_template_that_would_keep_the_compiler_busy_is_refused(text: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        compile_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ user.__class__ }}",
        "{{ user['__class__'] }}",
        "{{ user._profile }}",
        "{{ user.properties.items }}",
        "{{ user.keys }}",
        "{{ event.name.upper }}",
        "{{ event.name['__class__'] }}",
        "{{ user.objects | map: '__class__' }}",
        "{{ user.objects | where: '__class__' }}",
        "{% for i in (1..2) %}{{ forloop.it }}{{ forloop.__dict__ }}{{ forloop._keys }}{% endfor %}",
        "{% assign f = user.get %}{{ f }}",
        "{{ template }}{{ env }}{{ context }}{{ globals }}{{ os.environ }}",
    ],
)
def test_python_attributes_are_out_of_reach(text: str) -> None:
    assert compile_text(text).render(BIG) == ""


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)

FILTER_NAMES = st.sampled_from(sorted(ENGINE.filters))


@settings(max_examples=400, deadline=None)
@given(
    filters=st.lists(st.tuples(FILTER_NAMES, st.integers(0, 3)), min_size=1, max_size=3),
    value=JSON_VALUES,
    other=JSON_VALUES,
)
def test_nothing_but_a_render_error_escapes_any_filter_on_any_data(
    filters: list[tuple[str, int]], value: Any, other: Any
) -> None:
    chain = "".join(f" | {name}" + (": " if n else "") + ", ".join(["user.other"] * n) for name, n in filters)
    data = scope(user={"properties": {"value": value, "other": other}})
    for text in (f"{{{{ user.value{chain} }}}}", f"{{% for i in user.value %}}{{{{ i{chain} }}}}{{% endfor %}}"):
        template = compile_text(text)
        for render in (template.render, template.render_text, template.render_json_text, template.render_url):
            try:
                render(data)
            except RenderError:
                continue


PIECES = st.sampled_from(
    r"""{{ }} {% %} - if endif for in endfor (1..3) case when endcase assign = user . name | upcase json : ' " [ ] 0 raw
    endraw comment endcomment liquid echo cycle tablerow capture x , and contains == profile@ `""".split()  # noqa: SIM905
) | st.sampled_from([" ", "\n"])


@settings(max_examples=600, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join) | st.text(max_size=40))
def test_any_text_compiles_or_is_a_syntax_error_and_renders_or_is_a_render_error(text: str) -> None:
    try:
        template = compile_text(text)
    except TemplateSyntaxError as error:
        assert error.line >= 1
        assert error.column >= 1
        return
    try:
        template.render(scope(user={"properties": {"name": "n"}}))
    except RenderError:
        return
