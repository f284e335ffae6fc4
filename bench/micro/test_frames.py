"""A block's bytes as frames, against clickhouse-driver: its compressor with PyPI's lz4 and clickhouse-cityhash."""

from __future__ import annotations

from functools import cache

import pytest
from clickhouse_cityhash.cityhash import CityHash128
from clickhouse_driver import defines
from clickhouse_driver.bufferedwriter import BufferedSocketWriter
from clickhouse_driver.compression.lz4 import Compressor
from clickhouse_driver.streams.compressed import CompressedBlockOutputStream
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.children import cpu_clock_s
from bench.micro.test_encode import ROWS, filled
from bench.peers.driver_columns import CountingSocket, driver_context
from bench.suites.encode import encode
from core_ext.frames import frame_block, hash_128
from tests.reference.frames import checksum, open_frames

# A block of realistic traffic so many times: three frames. LZ4 looks back 64 kB, so repetition helps nobody.
REPEATS = 4


@cache
def raw() -> bytes:
    """Bare bytes, about three megabytes."""
    return b"".join(encode(filled("traffic")[0], compress=False).parts) * REPEATS


@pytest.mark.benchmark(group="frames", timer=cpu_clock_s)
def test_frames(benchmark: BenchmarkFixture) -> None:
    benchmark.extra_info["items"] = ROWS * REPEATS
    block = raw()
    assert open_frames(benchmark(frame_block, block)) == block


@pytest.mark.benchmark(group="frames", timer=cpu_clock_s)
def test_frames_by_clickhouse_driver(benchmark: BenchmarkFixture) -> None:
    benchmark.extra_info["items"] = ROWS * REPEATS
    block, context = raw(), driver_context()

    def frame() -> CountingSocket:
        socket = CountingSocket(keep=True)
        out = BufferedSocketWriter(socket, defines.BUFFER_SIZE)
        stream = CompressedBlockOutputStream(Compressor, defines.DEFAULT_COMPRESS_BLOCK_SIZE, out, context)
        stream.fout.write(block)
        stream.finalize()
        return socket

    sent = benchmark(frame).kept
    assert sent is not None
    assert open_frames(b"".join(sent)) == block


@pytest.mark.benchmark(group="cityhash_128", timer=cpu_clock_s)
def test_hash(benchmark: BenchmarkFixture) -> None:
    block = raw()
    assert benchmark(hash_128, block) == checksum(block)


@pytest.mark.benchmark(group="cityhash_128", timer=cpu_clock_s)
def test_hash_by_clickhouse_cityhash(benchmark: BenchmarkFixture) -> None:
    block = raw()
    assert benchmark(CityHash128, block) >> 64 == int.from_bytes(hash_128(block)[:8], "little")
