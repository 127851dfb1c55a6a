"""The integration tests once more, with the servers in containers: one platform, two ways to run it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from infra import containers
from riftstream.settings import Settings, get_settings
from tests.integration.test_bad_input import (  # noqa: F401 - collected here with the containers as their stack
    sent,
    test_a_duplicate_changes_nothing_and_is_counted,
    test_a_late_event_is_applied_and_counted,
    test_a_remake_ends_the_match_without_a_winner,
    test_a_schema_that_grows_while_the_job_runs_is_read,
    test_bad_input_is_a_dead_letter_with_its_reason_and_its_bytes,
    test_the_good_events_around_bad_input_are_counted_and_predicted,
    test_what_was_read_is_what_was_accepted_plus_what_was_rejected,
)
from tests.integration.test_redrive import (  # noqa: F401
    test_a_rejected_event_is_fixed_sent_again_and_accepted_once,
    test_events_by_http_are_in_the_lake_once_and_their_repetition_is_a_duplicate,
)

pytestmark = pytest.mark.docker


def why_not() -> str:
    """Why containers cannot be started here; empty where they can."""
    import docker
    from docker.errors import DockerException

    try:
        docker.from_env().ping()
    except DockerException:
        return "there is no Docker engine here"
    return "" if containers.has_compose() else "there is no Docker Compose here"


@pytest.fixture(scope="module")
def compose_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The whole platform on containers, in a ``RIFT_HOME`` of its own; its volumes go with it."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    from testcontainers.compose import DockerCompose

    from infra import stack as local
    from riftstream.cli import plan, platform

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RIFT_HOME", str(tmp_path_factory.mktemp("containers")))
        get_settings.cache_clear()
        context = containers.context()
        project = {"COMPOSE_PROJECT_NAME": f"rift-test-{os.getpid()}"}
        variables = context.home / "compose.env"
        variables.touch(mode=0o600)
        variables.write_text(containers.variable_lines(containers.prepare(context) | project))
        file = containers.FILE
        with DockerCompose(str(file.parent), compose_file_name=file.name, env_file=str(variables)):
            containers.set_up(context)
            plan.apply(plan.pieces(get_settings()))
            try:
                platform.start_applications()
                yield get_settings()
            finally:
                local.down()
    get_settings.cache_clear()


@pytest.fixture(scope="module")
def stack(compose_stack: Settings) -> Settings:
    """The stack of the tests that are imported above."""
    return compose_stack
