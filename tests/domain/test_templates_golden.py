"""The published test cases of the Liquid language, through our engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from domain.errors import RenderError, TemplateSyntaxError
from domain.templates import compile_text

CASES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("golden_liquid.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['group']}: {case['description']}")
def test_golden_liquid(case: dict[str, Any]) -> None:
    if case.get("error"):
        with pytest.raises((TemplateSyntaxError, RenderError)):
            compile_text(case["template"]).render_text(case["globals"])
    else:
        template = compile_text(case["template"])
        assert template.render_text(case["globals"]) == case["expect"]
        assert str(template.render(case["globals"])) == case["expect"]
