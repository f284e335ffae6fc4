"""Moving an installation to other stores: nothing that was answered is lost, nothing and nobody is counted twice."""

from __future__ import annotations

import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.config import SettingError, Settings, load_settings
from server.moving import MoveError, settings_there
from tests.server.test_serve import metric, send_hits, stored, wait_until
from tests.services.footfall import FootfallServer


def moved(server: FootfallServer, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return server.command("move", str(file), *options)


def ask_store(address: ClickHouseAddress, query: str) -> list[tuple[object, ...]]:
    with closing(BlockConnection(address)) as connection:
        return connection.select(query)


def test_an_installation_moves_with_what_waits_in_its_spool(
    tmp_path: Path, store_address: ClickHouseAddress, postgresql_settings: Settings
) -> None:
    there = {"clickhouse_url": str(store_address), "app_database_url": postgresql_settings.app_database_url}
    file = tmp_path / "fleet.env"
    file.write_text("# the fleet\n" + "".join(f"FOOTFALL_{name.upper()}={value}\n" for name, value in there.items()))
    server = FootfallServer(tmp_path / "data")
    after = FootfallServer(tmp_path / "data", **there)
    try:
        server.start()
        assert {answer.status for answer in send_hits(server.port, 30)} == {202}
        wait_until(lambda: stored(server) == 30)

        refused = moved(server, file)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "stop `footfall serve` first, or try it with --practise" in refused.stderr

        practised = moved(server, file, "--practise")
        assert practised.returncode == 0, practised.stderr
        assert "Nothing has changed here" in practised.stdout
        assert ask_store(store_address, "SELECT count() FROM events") == [(30,)]
        server.stop()

        # Answered while the store is away, and killed: these hits are in the spool alone.
        lonely = FootfallServer(tmp_path / "data", clickhouse_url="clickhouse://127.0.0.1:1", stop_grace_s="1")
        lonely.start()
        assert {answer.status for answer in send_hits(lonely.port, 20)} == {202}
        wait_until(lambda: metric(lonely, 'footfall_hits_total{outcome="accepted"') == 20)
        lonely.kill()

        done = moved(server, file, "--replace")
        assert done.returncode == 0, done.stderr
        assert "20 hits wait in the spool" in done.stdout
        assert not (server.data_dir / "move").exists()

        after.start()
        assert {answer.status for answer in send_hits(after.port, 10)} == {202}
        wait_until(lambda: stored(after) == 60)
        audited = after.command("audit", "--answered", "60")
        assert audited.returncode == 0, audited.stdout
        # Whoever came before the move is known after it: the salts went along.
        assert ask_store(store_address, "SELECT uniqExact(visitor_id) FROM events") == [(1,)]
    finally:
        for each in (server, after):
            each.stop()


def test_a_file_of_settings_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, clickhouse_url="clickhouse://here")
    file = tmp_path / "fleet.env"
    for content, said in (
        ("FOOTFALL_CLICKHOUSE_URL=clickhouse://there\n", "names no app database to move into"),
        ("FOOTFALL_APP_DATABASE_URL=postgresql://there/x\n", "names no ClickHouse to move into"),
        ("FOOTFALL_CLICKHOSE_URL=clickhouse://there\n", "FOOTFALL_CLICKHOSE_URL, which is no setting"),
    ):
        file.write_text(content)
        with pytest.raises(MoveError, match=said):
            settings_there(settings, file)
    file.write_text("FOOTFALL_CLICKHOUSE_URL=clickhouse://here\nFOOTFALL_APP_DATABASE_URL=postgresql://there/x\n")
    with pytest.raises(SettingError, match="another ClickHouse"):
        settings_there(settings, file)
