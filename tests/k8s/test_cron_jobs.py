"""CronJobs and the job table agree."""

from __future__ import annotations

import pytest
import yaml

from jobs.schedule import JOBS
from k8s.cron_jobs import TARGET, cron_jobs, object_name
from tests.k8s.built import OVERLAYS, named, of_kind, overlay
from tests.k8s.command_lines import problem_of

# Of the base, not of the job table.
OTHERS = {"footfall-drain", "footfall-drain-volume", "footfall-restore", "footfall-postgresql-dump"}


def test_the_file_is_what_the_table_says() -> None:
    assert TARGET.read_text() == cron_jobs(), "run `python -m k8s.cron_jobs`"
    assert len(list(yaml.safe_load_all(TARGET.read_text()))) == len(JOBS)


@pytest.mark.parametrize("name", OVERLAYS)
def test_each_job_is_a_cron_job_with_its_schedule_and_deadline(name: str) -> None:
    manifests = overlay(name)
    assert {m["metadata"]["name"] for m in of_kind(manifests, "CronJob")} - OTHERS == {object_name(j) for j in JOBS}
    for job in JOBS:
        spec = named(manifests, "CronJob", object_name(job))["spec"]
        assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == (job.schedule, "Etc/UTC", "Forbid")
        run = spec["jobTemplate"]["spec"]
        assert run["activeDeadlineSeconds"] > job.deadline_s
        (container,) = run["template"]["spec"]["containers"]
        assert container["args"][:3] == ["jobs", "run", job.name]
        if job.shards == 1:
            assert "completionMode" not in run
        else:
            assert (run["completionMode"], run["completions"], run["parallelism"]) == (
                "Indexed",
                job.shards,
                job.shards,
            )
            assert container["args"][3:] == ["--shard", f"$(JOB_COMPLETION_INDEX)/{job.shards}"]


def test_what_is_only_for_hands_never_runs_by_itself() -> None:
    manifests = overlay("production")
    suspended = {m["metadata"]["name"] for m in of_kind(manifests, "CronJob") if m["spec"]["suspend"]}
    assert suspended == {"footfall-drain-volume", "footfall-restore"}


def test_some_job_is_cut_into_pieces() -> None:
    assert any(job.shards > 1 for job in JOBS)


def test_a_wrong_command_line_is_noticed() -> None:
    assert problem_of(["footfall", "jobs", "run"]) == "Missing argument 'NAME'."
    assert "No such command" in problem_of(["footfall", "jbos"])
    assert "No such option" in problem_of(["footfall", "jobs", "run", "audit", "--shrad", "0/1"])
    assert problem_of(["footfall", "jobs"]) == "footfall jobs wants a command"
    assert problem_of(["footfall", "jobs", "run", "audit"]) == ""
