"""Stock Feast on our stores: what is declared is registered, and no secret or place is in its files."""

from __future__ import annotations

import dataclasses
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from features import repo, views
from infra.ports import choose
from riftstream.errors import FeatureError
from riftstream.settings import Settings
from tests.features.conftest import PASSWORD, RedisServer


@pytest.fixture
def settings(redis_server: RedisServer, tmp_path: Path) -> Settings:
    return redis_server.settings.model_copy(update={"home": tmp_path})


def test_a_plan_names_what_is_missing_and_applying_it_leaves_nothing(settings: Settings) -> None:
    changes = repo.plan(settings)
    assert {change.action for change in changes} == {"create"}
    assert "feature view match_state" in {change.name for change in changes}
    repo.apply(settings, changes)
    assert repo.plan(settings) == []
    assert [view.name for view in repo.store(settings).list_feature_views()]
    held = repo.registry(settings).read_bytes()
    assert PASSWORD.encode() not in held


def test_a_view_that_changes_is_updated_and_one_that_goes_is_removed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from features.repo import definitions

    repo.apply(settings, repo.plan(settings))
    longer = dataclasses.replace(views.VIEWS[0], ttl=2 * views.VIEWS[0].ttl)
    monkeypatch.setitem(definitions.feature_views, "match_state", definitions.view_of(longer))
    monkeypatch.delitem(definitions.feature_views, "player_form")
    monkeypatch.setattr(repo, "declared", lambda: "changed")
    told = {change.name: change.detail for change in repo.plan(settings)}
    assert "ttl" in told["feature view match_state"]
    assert told["feature view player_form"].startswith("remove")
    repo.apply(settings, repo.plan(settings))
    assert repo.plan(settings) == []


def test_materializing_a_view_is_no_change_of_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from features.repo import definitions

    repo.apply(settings, repo.plan(settings))
    form = views.find_view("team_form")
    registry = repo.store(settings).registry
    until = datetime.now(UTC)
    registered = registry.get_feature_view(form.name, views.PROJECT)
    registry.apply_materialization(registered, views.PROJECT, until - timedelta(days=1), until)
    # As another process declares it: Feast notes when the object was made.
    monkeypatch.setitem(definitions.feature_views, form.name, definitions.view_of(form))
    assert repo.plan(settings) == []
    longer = dataclasses.replace(form, ttl=2 * form.ttl)
    monkeypatch.setitem(definitions.feature_views, form.name, definitions.view_of(longer))
    monkeypatch.setattr(repo, "declared", lambda: "changed")
    assert [(c.name, c.detail) for c in repo.plan(settings)] == [("feature view team_form", "changes ttl")]


def test_the_feast_command_line_sees_the_repository_as_it_is(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    assert repo.run(["apply", "--skip-source-validation"], settings) == 0
    assert repo.plan(settings) == []
    capfd.readouterr()
    assert repo.run(["feature-views", "list"], settings) == 0
    listed = capfd.readouterr().out
    assert all(view.name in listed for view in views.VIEWS)


def test_feasts_own_ui_shows_the_views(settings: Settings) -> None:
    repo.apply(settings, repo.plan(settings))
    port = choose({"ui": 7888}, {}, set())["ui"]
    argv, env = repo.command(["ui", "--host", "127.0.0.1", "--port", str(port)], settings)
    process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not _answers(url):
            assert time.monotonic() < deadline and process.poll() is None, "the UI answers"
            time.sleep(0.2)
        projects = httpx.get(f"{url}/projects-list.json", trust_env=False).json()["projects"]
        assert [one["id"] for one in projects] == [views.PROJECT]
        asked = f"{url}{projects[0]['registryPath']}/feature_views?project={views.PROJECT}"
        shown = httpx.get(asked, trust_env=False).json()["featureViews"]
        assert {one["spec"]["name"] for one in shown} == {view.name for view in views.VIEWS}
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def test_the_configuration_holds_no_secret_and_no_place() -> None:
    text = repo.CONFIG.read_text()
    assert "${RIFT_FEAST_REDIS}" in text
    assert "password" not in text
    assert "127.0.0.1" not in text


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h:1/0", "h:1,db=0"),
        ("redis://:pa%2Fss@h:1/2", 'h:1,db=2,password="pa/ss"'),
        ("rediss://user:1@h", 'h:6379,db=0,ssl=true,username="user",password="1"'),
    ],
)
def test_a_redis_address_is_written_as_feast_reads_it(url: str, address: str) -> None:
    from feast.infra.online_stores.redis import RedisOnlineStore

    assert repo.redis_address(url) == address
    (node,), options = RedisOnlineStore._parse_connection_string(address)
    assert node["host"] == "h"
    assert options.get("password") in (None, "pa/ss", "1")


def test_a_password_that_feast_cannot_read_is_refused() -> None:
    with pytest.raises(FeatureError, match="comma"):
        repo.redis_address("redis://:a,b@h:1/0")
