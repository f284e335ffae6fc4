"""The suite of backups runs, and its answers are asserted on the way."""

from __future__ import annotations

from bench.harness import Run, choose_cpus
from bench.suites.backup import measure


def test_a_backup_is_made_verified_and_restored() -> None:
    results = {result.name: result for result in measure(Run(cpus=choose_cpus(), rounds=1, quick=True))}
    assert list(results) == [
        "backup_create",
        "backup_again_s",
        "backup_bytes",
        "backup_verify",
        "backup_restore_s",
        "backup_rss_mib",
    ]
    assert results["backup_bytes"].ours < 200
    assert results["backup_rss_mib"].kept
