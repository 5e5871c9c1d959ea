"""The recipes as far as they can be looked at without running them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.settings import ROOT
from shared.config import Settings
from shared.http.sse import KEEPALIVE_SECONDS
from tests.support.envoy import RECIPE, SUPABASE, entrypoint

SELF_HOSTED = ROOT / "deploy" / "self-hosted"
KONG = RECIPE.parent / "kong"
DOCKERFILE = ROOT / "Dockerfile"
COMPOSE = sorted((ROOT / "deploy").glob("*/docker-compose*.yml"))
# The fields of a service and of a route that Kong's declarative format knows.
KONG_SERVICE = {
    "name", "url", "protocol", "host", "port", "path", "retries", "connect_timeout",
    "read_timeout", "write_timeout", "tags", "routes", "plugins", "enabled",
}  # fmt: skip
KONG_ROUTE = {
    "name", "protocols", "methods", "hosts", "paths", "headers", "strip_path", "preserve_host",
    "regex_priority", "request_buffering", "response_buffering", "tags", "plugins",
}  # fmt: skip


class Override(yaml.SafeLoader):
    """Compose files, with the tag that says that a list takes another one's place."""


def _plain_list(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> list[Any]:
    return loader.construct_sequence(node)


Override.add_constructor("!override", _plain_list)


def compose(path: Path) -> dict[str, Any]:
    """Return the services of a compose file."""
    services: dict[str, Any] = yaml.load(path.read_text(), Override)["services"]  # noqa: S506
    return services


def seconds(text: str) -> float:
    """Read a duration as Envoy and Compose write it."""
    return float(text.removesuffix("s"))


def longest_silence() -> float:
    """Return how long an answer may take to begin, with the default settings."""
    fields = Settings.model_fields
    names = ("engine_timeout", "retry_wait_seconds", "store_timeout")
    return max(float(sum(fields[name].default for name in names)), KEEPALIVE_SECONDS)


def test_streams_may_live_as_long_as_their_turn() -> None:
    """Neither gateway ends what isn't silent for longer than an answer may be."""
    envoy, *_ = yaml.safe_load((RECIPE / "route.yaml").read_text())
    kong, _ = yaml.safe_load((KONG / "services.yaml").read_text())
    assert seconds(envoy["route"]["timeout"]) == 0
    assert seconds(envoy["route"]["idle_timeout"]) > longest_silence()
    assert kong["read_timeout"] / 1000 > longest_silence()
    assert kong["routes"][0]["response_buffering"] is False
    assert kong["routes"][0]["request_buffering"] is False


def test_a_gateway_repeats_only_what_never_arrived() -> None:
    """A key makes a repetition safe, but not every request has one."""
    envoy, *_ = yaml.safe_load((RECIPE / "route.yaml").read_text())
    assert envoy["route"]["retry_policy"]["retry_on"] == "connect-failure"


def test_kongs_file_has_only_fields_that_kong_knows() -> None:
    """And a path that is a whole-name expression, which goes before any prefix."""
    services = yaml.safe_load((KONG / "services.yaml").read_text())
    routes = [route for service in services for route in service["routes"]]
    assert all(service.keys() <= KONG_SERVICE for service in services)
    assert all(route.keys() <= KONG_ROUTE for route in routes)
    (path,) = routes[0]["paths"]
    ours = re.compile(path.removeprefix("~"))
    assert path.startswith("~/functions/v1/")
    assert ours.match("/functions/v1/conversations/1")
    assert not ours.match("/functions/v1/health-of-another")


@pytest.mark.parametrize(("version", "mark"), [("'2.1'", ""), ('"3.0"', "~")])
def test_kongs_entrypoint_puts_our_service_among_supabases(
    tmp_path: Path, version: str, mark: str
) -> None:
    """In what their script reads; marked as an expression unless Kong does that by itself."""
    theirs = f"_format_version: {version}\n\nservices:\n  - name: auth\n    url: http://auth/\n"
    done = run_kong(tmp_path, theirs, f"cat /home/kong/temp.yml >{tmp_path}/read.yml; exit 7")
    ours, _, auth = yaml.safe_load((tmp_path / "read.yml").read_text())["services"]
    assert done.returncode == 7, done.stderr
    assert (ours["name"], auth["name"]) == ("message-persistence", "auth")
    assert ours["routes"][0]["paths"][0].startswith(f"{mark}/functions/v1/(")


@pytest.mark.parametrize(
    ("services", "start"),
    [("services_of_another_kind: []\n", "cat /home/kong/temp.yml"), ("services:\n", "cat it")],
    ids=["kong.yml", "kong-entrypoint.sh"],
)
def test_kongs_entrypoint_says_so_where_supabase_changed_its_files(
    tmp_path: Path, services: str, start: str
) -> None:
    """Kong isn't started without our service."""
    done = run_kong(tmp_path, services, start)
    assert (done.returncode, "has Supabase changed it?" in done.stderr) == (1, True)


def run_kong(folder: Path, theirs: str, start: str) -> subprocess.CompletedProcess[str]:
    """Run the recipe's entrypoint on a kong.yml and a kong-entrypoint.sh of Supabase's.

    It may write where Supabase's own does, and nowhere else: all else is Kong's image, or mounted.
    """
    (folder / "supabase").mkdir()
    (folder / "services.yaml").write_bytes((KONG / "services.yaml").read_bytes())
    (folder / "supabase" / "kong.yml").write_text(theirs)
    (folder / "start.sh").write_text(start)
    (folder / "kong").mkdir()
    environment = {
        "MESSAGE_PERSISTENCE_FILES": str(folder),
        "KONG_DECLARATIVE_CONFIG": str(folder / "kong" / "kong.yml"),
        "SUPABASE_ENTRYPOINT": str(folder / "start.sh"),
    }
    done = run(KONG / "entrypoint.sh", environment)
    written = {path.name for path in folder.iterdir()}
    assert written <= {"services.yaml", "supabase", "start.sh", "kong", "read.yml"}
    return done


@pytest.mark.parametrize("missing", ["- name: functions-v1-all", "route_config:", " routes:"])
def test_envoys_entrypoint_says_so_where_supabase_changed_its_file(
    tmp_path: Path, missing: str
) -> None:
    """Envoy isn't started with half a configuration."""
    template = (SUPABASE / "lds.template.yaml").read_text().replace(missing, "- renamed:")
    (tmp_path / "lds.template.yaml").write_text(template)
    (tmp_path / "cds.yaml").write_text("resources:\n")
    environment = entrypoint(tmp_path, SUPABASE_ENVOY_FILES=str(tmp_path))
    done = run(RECIPE / "entrypoint.sh", environment)
    assert done.returncode == 1
    assert missing in done.stderr
    assert "has Supabase changed it?" in done.stderr


def test_envoys_entrypoint_leaves_errors_that_supabase_words_itself(tmp_path: Path) -> None:
    """Two answers to one question would keep Envoy from starting."""
    template = (SUPABASE / "lds.template.yaml").read_text()
    theirs = template.replace(
        "route_config:", "local_reply_config: {}\n              route_config:"
    )
    (tmp_path / "lds.template.yaml").write_text(theirs)
    (tmp_path / "cds.yaml").write_text("resources:\n")
    (tmp_path / "next.sh").write_text("exit 7")
    environment = entrypoint(
        tmp_path,
        SUPABASE_ENVOY_FILES=str(tmp_path),
        SUPABASE_ENTRYPOINT=str(tmp_path / "next.sh"),
    )
    done = run(RECIPE / "entrypoint.sh", environment)
    made = (tmp_path / "envoy" / "lds.template.yaml").read_text()
    assert done.returncode == 7
    assert made.count("local_reply_config") == 1
    assert "name: message-persistence" in made


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_a_compose_file_mounts_what_is_there_and_waits_for_turns_to_end(path: Path) -> None:
    """What it mounts of ours exists; a stop is longer than a turn may take to end."""
    services = compose(path)
    mounted = [m.split(":")[0] for s in services.values() for m in s.get("volumes", [])]
    ours = [mount for mount in mounted if "message-persistence" in mount]
    assert [mount for mount in ours if not (SELF_HOSTED / mount).is_file()] == []
    for service in services.values():
        if "build" in service:
            drain = Settings.model_fields["drain_seconds"].default
            assert seconds(service["stop_grace_period"]) > 2 * drain


def test_a_port_of_the_hosts_is_not_the_containers() -> None:
    """Compose's own `.env` is the container's too: a PORT there must not move where it listens."""
    service = compose(ROOT / "deploy" / "compose" / "docker-compose.yml")["message-persistence"]
    (published,) = service["ports"]
    host, _, container = published.rpartition(":")
    assert (service["env_file"], host) == (".env", "${PORT:-8000}")
    assert service["environment"]["PORT"] == container


# Which settings no recipe gives: one is for tests, one is set by the host itself.
NOT_GIVEN = {"crash_point", "aws_lambda_function_name"}
# What the self-hosted stack says of itself; the override takes it from there.
OF_THE_STACK = {
    "SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_SECRET_KEYS", "SUPABASE_JWT_SECRET",
}  # fmt: skip
LAMBDA = ROOT / "deploy" / "lambda" / "template.yaml"


def test_a_compose_file_takes_every_setting_from_a_file() -> None:
    """What a file says counts: nothing but the stack's own is set beside it."""
    alone, _, beside = (compose(path) for path in COMPOSE)
    services = [services["message-persistence"] for services in (alone, beside)]
    assert services[0]["env_file"] == ".env"
    assert services[1]["env_file"] == [{"path": "./message-persistence.env", "required": False}]
    assert [{*service["environment"]} for service in services] == [{"PORT"}, OF_THE_STACK]


def test_lambdas_template_takes_every_setting() -> None:
    """As a parameter, or set for what Lambda is."""
    text = LAMBDA.read_text()
    given = {*re.findall(r"^ {10}([A-Z_]+):", text, re.MULTILINE)}
    wanted = {name.upper() for name in Settings.model_fields.keys() - NOT_GIVEN}
    assert wanted - given == {"SUPABASE_SECRET_KEYS"}
    no_setting = {name for name in given - wanted if not name.startswith("AWS_LWA_")}
    assert no_setting == {"SUPABASE_SECRET_KEY"}
    parameters = {*re.findall(r"^  ([A-Za-z]+): *(?:\{.*\})?$", text.split("Conditions:")[0], re.M)}
    assert {*re.findall(r"!Ref ([A-Za-z]+)", text)} - {"SweepRole"} <= parameters


def test_images_are_pinned_by_digest_and_containers_may_do_little() -> None:
    """The same bits each time; no root, no capability, a bounded memory, nothing written."""
    froms = re.findall(r"^(?:FROM|ARG PYTHON=) ?(\S*[:/]\S*)", DOCKERFILE.read_text(), re.MULTILINE)
    assert len(froms) == 2
    assert all(re.search(r"@sha256:[0-9a-f]{64}$", name) for name in froms)
    for path in COMPOSE:
        for service in compose(path).values():
            if "build" in service:
                assert service["read_only"] is True
                assert service["cap_drop"] == ["ALL"]
                assert service["security_opt"] == ["no-new-privileges:true"]
                assert service["mem_limit"]


def run(script: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a script of the recipes with nothing else in its environment but a path."""
    return subprocess.run(
        ["/bin/sh", str(script)],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
