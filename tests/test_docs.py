"""The documents against the code: what they name exists, what they show works, and their tables are complete."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote

import pytest
from fastapi.routing import iter_route_contexts
from pydantic import AliasChoices
from pydantic_core import PydanticUndefined
from temporalio.workflow import _Definition

import api.app  # noqa: F401  (loads every module that has errors)
from activities.metering import ATTEMPT_SECONDS, ATTEMPTS
from activities.rehearsing import PREVIEW_TIMEOUT
from activities.testing import TEST_TIMEOUT
from api.assembly import assemble
from api.auth import Scope
from api.metrics import Metrics
from connectors.catalog import load_catalog
from connectors.messages import OutboundResponse
from connectors.network_errors import _KINDS
from connectors.outcomes import classify_by_status
from domain.advice import Code
from domain.condition_functions import FUNCTIONS
from domain.conditions import parse
from domain.deliveries import DeliveryStatus, Reason
from domain.errors import ConditionEvaluationError, DeliveryError, SluiceError
from domain.json_templates import compile_json
from domain.mappings import CONDITION_SOURCES, Mapping, RefusalCode, compile_mapping
from domain.objects import UserView, scope
from domain.syncs import SyncState
from domain.template_limits import LIMITS
from runtime.settings import LaptopSettings, Settings
from storage.tables import metadata
from storage.trials import UNKNOWN
from tests.domain.test_templates_golden import CASES as GOLDEN
from tests.markdown import ROOT, anchors, blocks, documents, prose, table_under
from workflows import names
from workflows.event_delivery import EventDelivery
from workflows.event_retry import EventRetry
from workflows.profile_sync import ProfileSync

README = ROOT / "README.md"
OPERATING = ROOT / "docs" / "operating.md"
CONDITIONS = ROOT / "docs" / "conditions.md"
MAPPINGS = ROOT / "docs" / "mappings.md"
SECURITY = ROOT / "docs" / "security.md"
CONNECTOR = ROOT / "docs" / "adding-a-connector.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

# The API's: compile_destination tells these within `invalid_input`.
NOT_ANSWERED = {"condition_syntax_error", "template_syntax_error", "mapping_invalid"}

APP = assemble(metrics=Metrics())
ROUTES = {(method, route.path_format) for route in iter_route_contexts(APP.routes) for method in route.methods or ()}
each_document = pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))


def _code_in(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def _everything(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@each_document
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if target.startswith("https://"):
            continue
        file, _, anchor = unquote(target).partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


@each_document
def test_every_file_that_is_named_exists(path: Path) -> None:
    known = {entry.name for entry in ROOT.iterdir()}
    for code in _code_in(prose(path)):
        first, slash, _ = code.partition("/")
        if slash and first in known and re.fullmatch(r"[\w./-]+", code):
            assert (ROOT / code).exists() or "<" in code, code


@each_document
def test_every_make_target_that_is_named_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = re.findall(r"(?:^|`)make ([a-z-]+)", _everything(path), re.MULTILINE)
    assert set(shown) <= targets


@each_document
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"\bSLUICE_[A-Z_]+\b", _everything(path)))
    assert named <= _variables(Settings).keys() | _variables(LaptopSettings).keys()


@each_document
def test_every_metric_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"`(sluice_[a-z_]+?)(?:\{[^`]*)?`", prose(path))) - {"sluice_work", "sluice_ntfy"}
    assert named <= _metrics() | {ATTEMPTS, ATTEMPT_SECONDS}


@each_document
def test_every_route_that_is_named_exists(path: Path) -> None:
    for method, route in re.findall(r"\b(GET|POST|PUT|PATCH|DELETE) (/[\w{}/-]+)", _everything(path)):
        assert any(method == known and _fits(route, template) for known, template in ROUTES), f"{method} {route}"


def _fits(route: str, template: str) -> bool:
    pattern = re.sub(r"\\\{\w+\\\}", r"[^/]+", re.escape(template))
    return re.fullmatch(pattern, route) is not None or (route == "/v1/profiles" and template == "/v1/profiles/{id}")


@each_document
def test_every_shell_block_can_be_read_by_a_shell(path: Path) -> None:
    for block in blocks(path, "sh"):
        done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@each_document
def test_every_program_of_ours_in_a_shell_block_exists(path: Path) -> None:
    for block in blocks(path, "sh"):
        for program in re.findall(r"\.venv/bin/([\w-]+)", block.text):
            assert (ROOT / ".venv" / "bin" / program).exists(), program


@each_document
def test_every_variable_of_temporal_that_is_named_is_one(path: Path) -> None:
    named = set(re.findall(r"`(TEMPORAL_\w+[A-Z])`", prose(path)))
    assert named <= {
        "TEMPORAL_ADDRESS",
        "TEMPORAL_NAMESPACE",
        "TEMPORAL_API_KEY",
        "TEMPORAL_CONFIG_FILE",
        "TEMPORAL_PROFILE",
        "TEMPORAL_TLS_CLIENT_CERT_PATH",
        "TEMPORAL_TLS_CLIENT_KEY_PATH",
    }  # what temporalio.envconfig reads


@pytest.mark.parametrize("block", blocks(MAPPINGS, "json", "mapping"), ids=lambda block: json.loads(block.text)["id"])
def test_every_mapping_shown_compiles_for_the_webhook(block: Any) -> None:
    mapping = Mapping.model_validate(json.loads(block.text))
    compile_mapping(mapping)
    assert load_catalog().get("webhook").definition.action(mapping.action) is not None


def test_every_member_of_a_mapping_is_described() -> None:
    rows = table_under(MAPPINGS, "member", "meaning")
    assert {row[0].strip("`") for row in rows} == set(Mapping.model_fields)


def test_the_list_of_segments_renders_as_described() -> None:
    [block] = [
        each for each in blocks(MAPPINGS, "json", "mapping") if '"segments"' in each.text and "json_text" in each.text
    ]
    body: Any = compile_mapping(Mapping.model_validate(json.loads(block.text))).render(scope(user=_profile(MAPPINGS)))
    assert body.value == {"id": "u-1", "tags": [{"name": "trial"}]}


def _profile(path: Path) -> dict[str, Any]:
    """The profile that the document's examples are for."""
    text = next(code for code in _code_in(prose(path)) if code.startswith('{"id": "u-1"'))
    return {"userId": "u-1", **json.loads(text)}


def _template_examples() -> list[list[str]]:
    return table_under(MAPPINGS, "template", "gives")


@pytest.mark.parametrize(("template", "gives"), _template_examples())
def test_templates_give_what_the_table_says(template: str, gives: str) -> None:
    written = json.loads(template.strip("` ") if not template.startswith("`` ") else template[3:-3])
    assert compile_json(written).render(scope(user=_profile(MAPPINGS))) == json.loads(gives.strip("`"))


def test_limits_of_templates_are_those_of_the_code() -> None:
    values = [int(row[1].replace(",", "")) for row in table_under(MAPPINGS, "limit", "value")]
    stated = [LIMITS.template_chars, LIMITS.leaves, LIMITS.nesting, LIMITS.output_chars]
    assert values == [*stated, LIMITS.items, LIMITS.steps, LIMITS.integer_bits]


def _rendered(mapping_id: str, **objects: Any) -> Any:
    [block] = [each for each in blocks(MAPPINGS, "json", "mapping") if f'"id": "{mapping_id}"' in each.text]
    body: Any = compile_mapping(Mapping.model_validate(json.loads(block.text))).render(scope(**objects))
    return body.value


def test_the_three_examples_render_to_the_letter() -> None:
    user = {
        "id": "u-1",
        "properties": {
            "fullName": "Ada Lovelace",
            "email": "ada@example.com",
            "emailVerified": True,
            "locale": "en-GB",
        },
    }
    assert _rendered("page-views", user={"id": "u-1"}, event={"name": "page_view", "userId": "u-1"}) == {
        "channel": "channel-id",
        "text": "👋 New page_view  \nEmail: Unknown \nUserId: u-1",
    }
    assert _rendered("profile-sync", user=user) == {
        "profile": {
            "name": "Ada Lovelace",
            "email": "ada@example.com",
            "email_verified": "true",
            "locale": "en-GB",
        }
    }
    order = {"total": 12.5, "items": [{"sku": "a"}]}
    assert _rendered("orders", user=user, event={"name": "order_completed", "properties": order}) == {
        "order": order,
        "customer": "u-1",
    }


def test_the_number_of_published_cases_of_liquid_is_the_stated_one() -> None:
    assert f"851, {len(GOLDEN)} pass" in prose(MAPPINGS).replace("\n", " ")


def _shown_conditions() -> list[str]:
    return [line for block in blocks(CONDITIONS, "text", "condition") for line in block.text.strip().splitlines()]


@pytest.mark.parametrize("text", _shown_conditions())
def test_every_condition_shown_is_one(text: str) -> None:
    parse(text, sources=CONDITION_SOURCES)


def test_every_warning_about_a_condition_is_described() -> None:
    assert {row[0].strip("`") for row in table_under(CONDITIONS, "code", "warns of")} == set(get_args(Code))


@pytest.mark.parametrize(("text", "result"), table_under(CONDITIONS, "condition", "result"))
def test_conditions_hold_as_the_table_says(text: str, result: str) -> None:
    user = UserView(_profile(CONDITIONS))
    condition = parse(text.strip("`"), sources=CONDITION_SOURCES)
    context = {"profile": user, "user": user, "event": {}}
    if result == "error":
        with pytest.raises(ConditionEvaluationError):
            condition.evaluate(context, now=NOW)
    else:
        assert condition.evaluate(context, now=NOW) is (result == "true")


@pytest.mark.parametrize(
    "call", [code for row in table_under(CONDITIONS, "function", "gives") for code in _code_in(row[0])]
)
def test_every_function_of_conditions_that_is_described_exists(call: str) -> None:
    parse(f"{call.replace('(x', '(profile@a')} == 1")


def test_every_function_of_conditions_is_described() -> None:
    described = {
        call.partition("(")[0] for row in table_under(CONDITIONS, "function", "gives") for call in _code_in(row[0])
    }
    assert described == set(FUNCTIONS)


@pytest.mark.parametrize("block", blocks(CONNECTOR, "python"), ids=lambda block: block.text.split("(")[0][:30])
def test_the_connector_s_code_is_shown_as_it_is(block: Any) -> None:
    example = ROOT / "docs" / "examples" / "ntfy"
    code = [(example / name).read_text() for name in ("sluice_ntfy.py", "test_sluice_ntfy.py")]
    assert any(block.text in each for each in code)


def test_the_connector_s_entry_point_is_shown_as_it_is() -> None:
    [block] = blocks(CONNECTOR, "toml")
    assert block.text in (ROOT / "docs" / "examples" / "ntfy" / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, "2xx"),
        (429, "408"),
        (503, "408"),
        (408, "408"),
        (423, "408"),
        (425, "408"),
        (404, "any other"),
        (302, "anything else"),
    ],
)
def test_answers_are_classified_as_the_table_says(status: int, kind: str) -> None:
    [outcome] = [row[1] for row in table_under(CONNECTOR, "answer", "outcome") if row[0].startswith(kind)]
    assert classify_by_status(OutboundResponse(status), now=NOW).kind == outcome


def test_the_table_of_settings_is_complete_and_its_defaults_are_those_of_the_code() -> None:
    rows = table_under(OPERATING, "variable", "`make up`", "API, worker", "meaning")
    laptop, server = _variables(LaptopSettings), _variables(Settings)
    shown = {row[0].strip("`"): (row[1], row[2]) for row in rows}
    assert shown == {name: (laptop.get(name, ""), server.get(name, "")) for name in laptop | server}
    assert all(row[3] for row in rows)


def _variables(settings: type[Settings] | type[LaptopSettings]) -> dict[str, str]:
    """Variable → default as the table writes it."""
    return {_variable(name, field): _default(field.default) for name, field in settings.model_fields.items()}


def _variable(name: str, field: Any) -> str:
    alias = field.validation_alias
    return (alias.choices[0] if isinstance(alias, AliasChoices) else alias) or f"SLUICE_{name.upper()}"


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    return "–" if value in (None, ()) else str(value)


def test_the_table_of_metrics_is_complete() -> None:
    rows = table_under(OPERATING, "metric", "labels", "meaning")
    assert {row[0].strip("`") for row in rows} == _metrics()


def _metrics() -> set[str]:
    metrics = Metrics()
    metrics.watch(gauges=None, outbox=None, dispatchers=[_Dispatcher()])  # type: ignore[arg-type]  # nothing is read here
    return {
        f"{family.name}_total" if family.type == "counter" else family.name for family in metrics.registry.collect()
    }


class _Dispatcher:
    alive, crashes = True, 0


@pytest.mark.parametrize("row", table_under(OPERATING, "limit", "value", "where"), ids=lambda row: row[0])
def test_limits_are_those_of_the_code(row: list[str]) -> None:
    path, constant = _code_in(row[2])
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    assert float(row[1].replace(",", "")) == getattr(module, constant)


def test_every_error_code_of_the_api_is_in_the_table() -> None:
    rows = table_under(OPERATING, "status", "code", "")
    shown = {(int(row[0]), code) for row in rows for code in _code_in(row[1])}
    api_errors = {(error.status, error.code) for error in _errors(SluiceError) if not issubclass(error, DeliveryError)}
    answered = {(status, code) for status, code in api_errors if status not in (500,) and code not in NOT_ANSWERED}
    of_the_framework = {(405, "method_not_allowed"), (415, "unsupported_media_type")}
    assert shown == answered | of_the_framework | {(500, "internal_error"), (503, "not_ready")}
    assert all(HTTPStatus(status) for status, _ in shown)


def _errors(kind: type[SluiceError]) -> Iterator[type[SluiceError]]:
    for each in kind.__subclasses__():
        if not each.__name__.startswith("_"):
            yield each
        yield from _errors(each)


def test_every_reason_is_in_the_table() -> None:
    shown = {code for row in table_under(OPERATING, "reason", "meaning") for code in _code_in(row[0])}
    deliveries = {error.code for error in _errors(DeliveryError)} | {"delivery_error"}
    network = {code for _, code, _ in _KINDS} | {"too_many_redirects"}
    ours = {str(reason) for reason in Reason} | set(get_args(RefusalCode))
    of_tests = {PREVIEW_TIMEOUT, TEST_TIMEOUT, UNKNOWN}
    assert shown == ours | deliveries | network | of_tests | {"http_<status>", "retry_requested"}


def test_every_state_is_in_the_table() -> None:
    shown = {row[0].strip("`") for row in table_under(OPERATING, "state", "meaning")}
    assert shown == {str(state) for state in SyncState}
    assert {str(state) for state in DeliveryStatus} == shown - {"waiting", "idle"} | {"queued", "delivered"}


def test_every_scope_is_in_the_table() -> None:
    assert {row[0].strip("`") for row in table_under(SECURITY, "scope", "may")} == set(get_args(Scope))


def test_every_table_of_the_database_is_described() -> None:
    described = {code for row in table_under(ARCHITECTURE, "table", "one row is") for code in _code_in(row[0])}
    assert described == set(metadata.tables)


def test_names_in_temporal_are_those_of_the_code() -> None:
    rows = table_under(ARCHITECTURE, "workflow", "id", "task queue", "signals")
    shown = {tuple(code for cell in row[:3] for code in _code_in(cell)): set(_code_in(row[3])) for row in rows}
    of_destination = "{destination_id}"
    assert shown == {
        ("ProfileSync", names.profile_sync_id(of_destination, "{profile_id}"), names.TASK_QUEUE): _signals(ProfileSync),
        ("EventDelivery", _pump_id(of_destination, "{lane}"), names.EVENTS_QUEUE): _signals(EventDelivery),
        ("EventRetry", names.event_retry_id(of_destination, "{profile_id}"), names.TASK_QUEUE): _signals(EventRetry),
    }


def _pump_id(destination_id: str, lane: str) -> str:
    return names.event_delivery_id(destination_id, 0).removesuffix("0") + lane


def _signals(workflow: type[Any]) -> set[str | None]:
    return set(_Definition.must_from_class(workflow).signals)


@pytest.mark.parametrize("workflow", [ProfileSync, EventDelivery, EventRetry])
def test_every_workflow_answers_the_query_that_is_described(workflow: type[Any]) -> None:
    queries = {str(name) for name in _Definition.must_from_class(workflow).queries}
    assert {name for name in queries if not name.startswith("__")} == {"status"}
    assert "answers the query `status`" in _everything(ARCHITECTURE)


def test_every_search_attribute_is_described() -> None:
    described = [code for row in table_under(ARCHITECTURE, "search attribute", "value") for code in _code_in(row[0])]
    assert described == [key.name for key in names.SEARCH_ATTRIBUTES]


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", (folder / "README.md").read_text()))
    assert listed == {path.name for path in folder.glob("*.md")} - {"README.md"}


@pytest.mark.parametrize(
    "path",
    [path for path in documents() if path.parent.name == "decisions" and path.name != "README.md"],
    ids=lambda path: path.stem,
)
def test_every_decision_has_its_four_parts(path: Path) -> None:
    text = _everything(path)
    positions = [text.index(f"**{part}.**") for part in ("Context", "Decision", "Consequences", "Alternatives")]
    assert positions == sorted(positions)


def test_what_the_readme_says_is_not_there_yet_is_not_there() -> None:
    said = " ".join(README.read_text().partition("Not yet:")[2].split())
    missing = (
        "sources",
        "write keys",
        "protocol",
        "connectors other than the webhook",
        "replay",
        "backfill",
        "console",
    )
    assert [each for each in missing if each not in said] == []
    routes = ("/v1/sources", "/v1/identify", "/v1/projects", "/v1/operations", "/v1/replay", "/v1/backfill")
    assert not [path for _, path in ROUTES if path.startswith(routes)]
    assert not (ROOT / "console").exists()
    assert [entry.connector.definition.slug for entry in load_catalog(packages=[]).all()] == ["webhook"]
