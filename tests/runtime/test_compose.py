"""docker-compose.yml against the code: each command, path, port, variable and health check names something real."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from runtime.laptop.temporal_server import DYNAMIC_CONFIG
from runtime.settings import DatabaseSettings, Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
ONE_SHOT = {"temporal-schema", "temporal-namespace", "migrate"}
VARIABLE = re.compile(r"\$\{(\w+)(:\?|:-)([^}]*)\}")
SETTINGS_VARIABLES = {f"SLUICE_{name.upper()}" for name in Settings.model_fields} | {"DATABASE_URL"}


def _filled_in(value: Any, given: dict[str, str]) -> str:
    return VARIABLE.sub(lambda found: given.get(found[1], ""), str(value))


def _example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_the_parts_of_the_system_are_all_there() -> None:
    wanted = {"postgres", "temporal", "temporal-ui", "migrate", "api", "worker"}
    assert wanted <= SERVICES.keys()
    assert sorted(OURS) == ["api", "migrate", "worker"]
    assert SERVICES["worker"]["deploy"]["replicas"] == 2
    assert "container_name" not in TEXT  # it would forbid replicas


def test_every_variable_has_a_message_or_may_be_empty_and_none_has_a_default_value() -> None:
    used = {found[1]: (found[2], found[3]) for found in VARIABLE.finditer(TEXT)}
    assert TEXT.count("${") == len(VARIABLE.findall(TEXT))
    for name, (kind, text) in used.items():
        assert (kind == ":?" and len(text) > 10) or (kind == ":-" and text == ""), name


def test_the_example_lists_each_variable_and_only_those_without_values() -> None:
    used = {found[1] for found in VARIABLE.finditer(TEXT)}
    assert set(_example()) == used
    assert set(_example().values()) == {""}


def test_required_variables_are_marked_required_in_the_example() -> None:
    blocks = (ROOT / ".env.example").read_text().strip().split("\n\n")
    said = {
        block.rsplit("\n", 1)[-1].strip("=\n"): "Required." in block for block in blocks if block.strip()[-1] == "="
    }
    assert said == {found[1]: found[2] == ":?" for found in VARIABLE.finditer(TEXT)}


@pytest.mark.parametrize("name", OURS)
def test_our_services_get_settings_that_exist(name: str) -> None:
    ours = {key for key in SERVICES[name]["environment"] if not key.startswith("TEMPORAL_")}
    assert ours <= SETTINGS_VARIABLES


@pytest.mark.parametrize(("name", "kind"), [("api", Settings), ("worker", Settings), ("migrate", DatabaseSettings)])
def test_our_services_start_with_what_they_are_given(
    name: str, kind: type[DatabaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "POSTGRES_PASSWORD": "abc123",
        "SLUICE_ADMIN_KEY": "0123456789abcdef",
        "SLUICE_ENCRYPTION_KEYS": f"k1:{'A' * 43}=",
    }
    for variable in SETTINGS_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in SERVICES[name]["environment"].items():
        monkeypatch.setenv(variable, _filled_in(value, given))
    settings = load_settings(kind)
    database = urlsplit(settings.database_url)
    assert database.hostname in SERVICES
    assert database.username == SERVICES["postgres"]["environment"]["POSTGRES_USER"]
    assert database.path == f"/{SERVICES['postgres']['environment']['POSTGRES_DB']}"
    assert not isinstance(settings, Settings) or settings.payload_keys is None


def test_migrations_get_the_database_and_no_secret_besides_and_that_is_enough(database_url: str) -> None:
    assert SERVICES["migrate"]["environment"].keys() == {"DATABASE_URL"}
    command = [sys.executable, *SERVICES["migrate"]["command"][1:]]
    done = subprocess.run(
        command, cwd=ROOT, env={"DATABASE_URL": database_url}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_addresses_name_services_and_the_ports_they_listen_on() -> None:
    for service in SERVICES.values():
        address = service.get("environment", {}).get("TEMPORAL_ADDRESS")
        assert address in (None, "temporal:7233")
        assert service.get("environment", {}).get("POSTGRES_SEEDS") in (None, "postgres")
    assert SERVICES["temporal"]["healthcheck"]["test"][-1] == "7233"


def test_commands_run_modules_and_files_that_exist() -> None:
    assert SERVICES["migrate"]["command"] == ["python", "-m", "storage.migrations"]
    assert importlib.util.find_spec("storage.migrations.__main__")
    assert SERVICES["worker"]["command"] == ["python", "worker.py"]
    assert (ROOT / "worker.py").exists()


def test_mounted_paths_and_scripts_exist_and_scripts_can_be_read_by_a_shell() -> None:
    for service in SERVICES.values():
        mounts = dict(volume.split(":")[:2] for volume in service.get("volumes", []))
        for source, target in mounts.items():
            if not source.startswith("./"):
                assert source in COMPOSE["volumes"]
                continue
            assert (ROOT / source).is_dir()
            words = [*service.get("entrypoint", []), *service.get("environment", {}).values()]
            files = [str(word) for word in words if str(word).startswith(f"{target}/")]
            assert files
            for file in files:
                assert (ROOT / source / Path(file).relative_to(target)).is_file()


def test_the_scripts_use_only_variables_their_services_set() -> None:
    for script, name in {"setup-schema.sh": "temporal-schema", "create-namespace.sh": "temporal-namespace"}.items():
        used = set(re.findall(r"\$\{?([A-Z_]+)", (ROOT / "deploy/temporal" / script).read_text()))
        assert used
        assert used <= SERVICES[name]["environment"].keys()


def test_the_cluster_has_the_dynamic_configuration_of_the_laptop() -> None:
    cluster = yaml.safe_load((ROOT / "deploy/temporal/dynamic-config.yaml").read_text())
    assert {key: str(values[0]["value"]).lower() for key, values in cluster.items()} == DYNAMIC_CONFIG


def test_everything_that_stays_up_has_a_health_check_and_what_ends_has_none() -> None:
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == ONE_SHOT


def test_health_checks_ask_the_ports_that_are_set() -> None:
    api, worker = SERVICES["api"], SERVICES["worker"]
    assert f":{api['environment']['SLUICE_API_PORT']}/readyz" in api["healthcheck"]["test"][-1]
    assert f":{worker['environment']['SLUICE_WORKER_METRICS_PORT']}/metrics" in worker["healthcheck"]["test"][-1]
    assert int(api["environment"]["SLUICE_API_PORT"]) == Settings.model_fields["api_port"].default
    assert (
        int(worker["environment"]["SLUICE_WORKER_METRICS_PORT"]) == Settings.model_fields["worker_metrics_port"].default
    )
    for name in ("api", "worker"):
        compile(SERVICES[name]["healthcheck"]["test"][-1], name, "exec")


def test_services_wait_for_what_they_need() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            assert how["condition"] == expected, (name, other)
    assert {"migrate", "temporal-namespace"} <= SERVICES["worker"]["depends_on"].keys()
    assert {"migrate", "temporal-namespace"} <= SERVICES["api"]["depends_on"].keys()


def test_containers_are_given_longer_to_stop_than_the_work_in_flight_takes() -> None:
    worker = SERVICES["worker"]
    drain = float(worker["environment"]["SLUICE_GRACEFUL_SHUTDOWN_SECONDS"])
    assert _seconds(worker["stop_grace_period"]) > drain + 10
    dockerfile = (ROOT / "Dockerfile").read_text()
    api_drain = re.search(r'"--timeout-graceful-shutdown", "(\d+)"', dockerfile)
    assert api_drain
    assert _seconds(SERVICES["api"]["stop_grace_period"]) > float(api_drain[1])


def test_our_containers_may_do_little() -> None:
    for name in OURS:
        assert SERVICES[name]["read_only"] is True
        assert SERVICES[name]["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in SERVICES[name]["security_opt"]


def test_published_ports_are_on_loopback_and_links_lead_to_them() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in published)
    ui = f"http://localhost:{SERVICES['temporal-ui']['ports'][0].split(':')[1]}"
    api = f"http://localhost:{SERVICES['api']['ports'][0].split(':')[1]}"
    assert SERVICES["api"]["environment"]["SLUICE_TEMPORAL_UI_URL"] == ui
    assert SERVICES["api"]["environment"]["SLUICE_CODEC_TRUSTED_ORIGINS"] == ui
    assert SERVICES["temporal-ui"]["environment"]["TEMPORAL_CODEC_ENDPOINT"] == f"{api}/codec"


def test_images_are_pinned_and_temporals_tools_match_its_server() -> None:
    for service in SERVICES.values():
        assert re.search(r":\d+\.\d+(\.\d+)?$", service["image"])
    versions = {name: SERVICES[name]["image"].split(":")[1] for name in ("temporal", "temporal-schema")}
    assert versions["temporal"] == versions["temporal-schema"]


def test_connections_of_all_processes_fit_into_the_database() -> None:
    pool = Settings.model_fields["database_pool_size"].default
    allowed = int(SERVICES["postgres"]["command"][1].removeprefix("max_connections="))
    temporal = 4 * 2 * 20  # its four services, two databases, twenty connections each
    assert pool * (SERVICES["worker"]["deploy"]["replicas"] + 1) + temporal < allowed
