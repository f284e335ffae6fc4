"""The sweep finds the knee of made-up curves, and what it prints is what the product and Kubernetes read."""

from __future__ import annotations

from pathlib import Path

import yaml

from bench.suites import sweep
from bench.sweep.backlog import BatchPoint
from bench.sweep.configmap import batch_file, config_map
from bench.sweep.knee import knee
from bench.sweep.live import LivePoint
from bench.sweep.page import sweep_page
from server.batch_settings import parse_batch_settings
from server.config import BatchSettings, Durability
from tests.bench.test_soak import assert_self_contained

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_knee_is_the_smallest_value_nearly_as_good_as_the_best() -> None:
    curve = [(10, 400), (25, 700), (50, 960), (100, 1_000), (250, 990)]
    assert knee(curve) == 50
    assert knee(curve, nearly=0.0) == 100
    assert knee([(1, 5)]) == 1
    # Noise on a flat curve does not choose the largest.
    assert knee([(10, 990), (100, 1_000), (1_000, 1_001)]) == 10


def made_up_batches() -> list[BatchPoint]:
    speeds = {10_000: 500_000, 50_000: 900_000, 100_000: 930_000}
    return [
        BatchPoint(rows, threads, speed * (1.0 if threads == 1 else 1.1), 0.4, 1e6 / speed, 200.0, 5)
        for rows, speed in speeds.items()
        for threads in (1, 2)
    ]


def made_up_point(age_ms: int, our_us: float, durability: Durability = Durability.PROCESS) -> LivePoint:
    settings = sweep.find_batch(made_up_batches()).model_copy(
        update={"batch_max_age_ms": age_ms, "durability": durability}
    )
    return LivePoint(settings, 20_000, 160_000, our_us, 2.0, 0.4, 2.0, age_ms / 2, age_ms + 50, 16, 3, 7)


def test_a_thread_or_an_age_that_gains_nothing_is_not_found() -> None:
    batch = sweep.find_batch(made_up_batches())
    assert (batch.batch_max_rows, batch.flush_parallelism) == (50_000, 1)
    # 50,000 records of 200 bytes are 9.5 MiB; the limit leaves rows to decide.
    assert 50_000 * 200 < batch.batch_max_bytes < 50_000 * 200 * 1.5
    points = [made_up_point(250, 8.0), made_up_point(500, 12.0), made_up_point(1_000, 8.2), made_up_point(4_000, 8.0)]
    points.append(made_up_point(500, 1.0, Durability.POWER))
    assert sweep.find_age(batch, points).batch_max_age_ms == 1_000


def test_what_gains_nothing_is_not_recommended() -> None:
    found = BatchSettings(batch_max_rows=250_000)
    assert sweep.recommend(found, 1.15) == found
    for gain in (0.99, 1.0, 1.04):
        assert sweep.recommend(found, gain) == BatchSettings()


def test_the_printed_configmap_is_read_by_the_product_and_has_the_names_of_the_deployed_one() -> None:
    recommended = BatchSettings(batch_max_rows=50_000, batch_max_age_ms=2_000, flush_parallelism=2)
    notes = {"cpu": "A: strange # name", "cpus": 2}
    printed = yaml.safe_load(config_map(recommended, notes))
    kustomization = yaml.safe_load((CHECKOUT / "k8s/apps/footfall/base/kustomization.yaml").read_text())
    generator = next(each for each in kustomization["configMapGenerator"] if each["name"] == "footfall-batch")
    assert (printed["metadata"]["name"], list(printed["data"])) == (generator["name"], generator["files"])
    mounted = printed["data"]["batch.yaml"]
    assert mounted == batch_file(recommended, notes)
    assert parse_batch_settings(mounted.encode(), BatchSettings()) == recommended
    deployed = yaml.safe_load((CHECKOUT / "k8s/apps/footfall/base/batch.yaml").read_text())
    assert yaml.safe_load(mounted).keys() == deployed.keys()


def test_the_report_needs_nothing_else() -> None:
    points = [made_up_point(age_ms, 8.0, durability) for durability in Durability for age_ms in (500, 1_000)]
    html = sweep_page("two CPUs", made_up_batches(), points, [("p99_ms", 3.0, 2.0)], "batch_max_rows: <50000>")
    assert_self_contained(html)
    assert "batch_max_rows: &lt;50000&gt;" in html
    for word in ("process", "power", "1 threads", "Freshness", "Merges"):
        assert word in html
