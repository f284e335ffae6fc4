"""The suite of jobs works: a few sites, each with its report, by the command itself."""

from __future__ import annotations

from bench.harness import Cpus, Run
from bench.suites import jobs


def test_the_quick_form_sends_every_report() -> None:
    run = Run(cpus=Cpus(server=0, client=0), quick=True)
    results = {result.name: result for result in jobs.measure(run)}
    assert results.keys() == {"reports_min", "reports_rss_mib"}
    assert results["reports_rss_mib"].kept, "memory does not depend on a quiet machine"
    assert results["reports_min"].notes["sites"] == jobs.QUICK_SITES
