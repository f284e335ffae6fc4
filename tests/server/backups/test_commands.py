"""The commands `footfall backup …` as an operator calls them: what they say, where, and with which exit code."""

from __future__ import annotations

import json
import os
import pty
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import boto3
import psycopg
import pytest
from click.testing import CliRunner, Result
from moto.server import ThreadedMotoServer

from server.backups.key import new_key
from server.backups.manifest import new_backup_id
from server.backups.register import begin
from server.cli import program
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import parse_clickhouse_url
from server.clock import now_ms
from server.config import Settings, load_settings
from server.data_folder import prepare_data_folder
from server.serve import prepare_app_database
from server.sites import add_site
from server.store import Store
from tests.server.backups.conftest import Installation, contents, fill

KEY = new_key()
S3_SECRET = "not-to-be-shown-" + uuid.uuid4().hex


@dataclass
class Operator:
    """Somebody at the command line of an installation."""

    settings: dict[str, str]
    said: list[str] = field(default_factory=list)

    def call(self, *arguments: str, **changed: str) -> Result:
        """Call `footfall backup …`; settings in lower case, without their prefix."""
        environment = {f"FOOTFALL_{name.upper()}": value for name, value in (self.settings | changed).items()}
        result = CliRunner().invoke(program, ["backup", *arguments], env=environment)
        self.said.append(result.output)
        return result

    def done(self, *arguments: str, **changed: str) -> Result:
        """The same, of what must succeed."""
        result = self.call(*arguments, **changed)
        assert result.exit_code == 0, result.output
        return result


@pytest.fixture
def operator(here: Installation) -> Operator:
    """At an installation with a site and some rows, and a folder for backups."""
    add_site(here.engine, "a.test", "Europe/Tallinn")
    fill(here, 300)
    return Operator(
        {
            "data_dir": str(here.settings.data_dir),
            "clickhouse_url": str(here.store.addresses[0]()),
            "backup_target": here.settings.backup_target,
            "backup_key": KEY,
        }
    )


def test_a_backup_is_made_listed_and_verified(operator: Operator, here: Installation) -> None:
    listed = operator.done("list")
    assert "0 backups in " in listed.stdout
    first = operator.done("create")
    assert first.stderr == "", "neither a bar nor a note"
    backup_id, _, said = first.stdout.partition(": ")
    assert " rows in 2 partitions, 2 of them copied (" in said
    second = json.loads(operator.done("create", "--json").stdout)
    assert {name: second[name] for name in ("partitions", "copied_partitions", "removed_backups", "notes")} == {
        "partitions": 2,
        "copied_partitions": 0,
        "removed_backups": 0,
        "notes": [],
    }
    listed = operator.done("list")
    assert backup_id in listed.stdout
    assert listed.stdout.endswith(f"2 backups in {here.settings.backup_target}\n")
    lines = json.loads(operator.done("list", "--json").stdout)
    assert [line["backup_id"] for line in lines] == [backup_id, second["backup_id"]], "the oldest comes first"
    assert [line["problem"] for line in lines] == ["", ""]
    assert lines[1]["rows"] == second["rows"]
    # Without an id the newest is meant; the beginning of an id is enough.
    assert operator.done("verify").stdout.startswith(
        f"OK {second['backup_id']}: 3 of 3 objects decrypted and checked, "
    )
    assert operator.done("verify", backup_id, "--quick").stdout.startswith(f"OK {backup_id}: 3 of 3 objects hashed, ")
    assert operator.done("verify", backup_id[:-4]).stdout.startswith(f"OK {backup_id}")
    # A backup that is over goes with the next one that is made.
    assert "1 backups were over and are removed" in operator.done("create", backup_keep_count="2").stdout
    assert len(json.loads(operator.done("list", "--json").stdout)) == 2
    assert KEY not in "".join(operator.said)


def test_a_damaged_backup_is_exit_code_1(operator: Operator, here: Installation) -> None:
    operator.done("create")
    for path in Path(here.settings.backup_target, "objects").glob("*/*"):
        flipped = bytearray(path.read_bytes())
        flipped[-1] ^= 1
        path.write_bytes(flipped)
    for options in ((), ("--quick",)):
        found = operator.call("verify", *options)
        assert found.exit_code == 1
        assert found.stdout.startswith("DAMAGED ")
        assert "0 of 3 objects" in found.stdout
        assert len(found.stderr.splitlines()) == 3, "each object is named"
    (manifest,) = Path(here.settings.backup_target, "manifests").iterdir()
    manifest.write_bytes(manifest.read_bytes()[:-1])
    assert "is damaged" in json.loads(operator.done("list", "--json").stdout)[0]["problem"]
    refused = operator.call("restore")
    assert (refused.exit_code, "is damaged" in refused.stderr) == (1, True)
    # The next one copies everything, and says why.
    made = operator.done("create")
    assert "3 of" not in made.stdout
    assert "Note: everything was copied, because the backup before cannot be read" in made.stderr
    assert operator.done("verify").exit_code == 0


REFUSALS: dict[str, tuple[tuple[str, ...], dict[str, str], str]] = {
    "no target": (("create",), {"backup_target": ""}, "set FOOTFALL_BACKUP_TARGET to a folder or s3://bucket/prefix"),
    "no key": (("create",), {"backup_key": ""}, "`footfall backup key` makes one"),
    "no key to list": (("list",), {"backup_key": ""}, "`footfall backup key` makes one"),
    "no key file": (
        ("create",),
        {"backup_key": "", "backup_key_file": "/nowhere/key"},
        "cannot be read from /nowhere/key: No such file or directory",
    ),
    "no key in the file": (
        ("create",),
        {"backup_key": "", "backup_key_file": __file__},
        "it does not hold 32 bytes in base64",
    ),
    "wrong key": (("verify",), {"backup_key": new_key()}, "was encrypted with another key: set FOOTFALL_BACKUP_KEY"),
    "wrong key to restore": (("restore",), {"backup_key": new_key()}, "was encrypted with another key"),
    "unknown id": (("verify", "1999"), {}, "`footfall backup list` shows them"),
    "empty target": (("verify",), {"backup_target": "{tmp}/other"}, "`footfall backup create` makes one"),
    "empty target to restore": (("restore",), {"backup_target": "{tmp}/other"}, "there is no backup in {tmp}/other"),
    "target in the data folder": (("create",), {"backup_target": "{data}/b"}, "would be lost with what it is of"),
    "target is a file": (("create",), {"backup_target": "{data}.file/b"}, "cannot be used: Not a directory"),
    "not empty": (("restore",), {}, "has 0 people, 1 sites and"),
    "store is away": (("create",), {"clickhouse_url": "clickhouse://127.0.0.1:1/x"}, "ClickHouse does not answer"),
    "app database is away": (
        ("create",),
        {"app_database_url": "postgresql://127.0.0.1:1/x"},
        "the app database does not answer",
    ),
}


def test_what_is_refused_is_one_line_that_says_what_to_do(operator: Operator, tmp_path: Path) -> None:
    operator.done("create")
    data_dir = operator.settings["data_dir"]
    Path(f"{data_dir}.file").write_text("")
    for name, (arguments, changed, expected) in REFUSALS.items():
        places = {"tmp": str(tmp_path), "data": data_dir}
        result = operator.call(*arguments, **{key: value.format(**places) for key, value in changed.items()})
        assert result.exit_code == 1, (name, result.output)
        assert result.stdout == "", name
        last = result.stderr.splitlines()[-1]
        assert last.startswith("Error: "), (name, result.stderr)
        assert expected.format(**places) in last, (name, last)
        assert "Traceback" not in result.stderr, name
    assert operator.call("verify", "--whole").exit_code == 2
    assert KEY not in "".join(operator.said)


def test_two_backups_at_once_are_refused(operator: Operator, here: Installation) -> None:
    first = json.loads(operator.done("create", "--json").stdout)["backup_id"]
    begin(here.engine, here.settings, new_backup_id(now_ms()), now_ms())
    refused = operator.call("create")
    assert (refused.exit_code, "another backup is being made" in refused.stderr) == (1, True)
    assert first in operator.done("list").stdout, "reading goes on beside it"


def read_all(terminal: int, shown: list[bytes]) -> None:
    """What is written to a terminal, until its other side is closed."""
    with suppress(OSError):  # which is how that is told
        while piece := os.read(terminal, 65_536):
            shown.append(piece)


def test_a_terminal_sees_how_far_it_is(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for arguments in (("create",), ("verify",)):
        ours, theirs = pty.openpty()
        shown: list[bytes] = []
        # A terminal takes only so much that nobody reads.
        reader = threading.Thread(target=read_all, args=(ours, shown))
        reader.start()
        with open(theirs, "w", encoding="utf-8") as terminal, monkeypatch.context() as patch:
            for name, value in operator.settings.items():
                patch.setenv(f"FOOTFALL_{name.upper()}", value)
            patch.setenv("TERM", "xterm")
            patch.setattr("sys.stderr", terminal)
            program.main(["backup", *arguments], standalone_mode=False)
        reader.join(30)
        os.close(ours)
        seen.append(b"".join(shown).decode())
    for text in seen:
        assert "100%" in text
        assert "━" in text


class Killed(BaseException):
    """A process that ends at this step."""


@contextmanager
def killing_bar(unit: str) -> Iterator[Callable[[int, int, str], None]]:
    """Takes the place of the bar, and ends the process when some rows are there."""

    def progress(done: int, total: int, what: str) -> None:
        if done:
            raise Killed

    yield progress


@contextmanager
def bucket() -> Iterator[dict[str, str]]:
    """The settings of a bucket at a server that speaks S3. Such servers share what they hold within a process, so no
    other test has a bucket of this name.
    """
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    settings = {
        "backup_target": "s3://commands/of/us",
        "backup_s3_endpoint_url": f"http://127.0.0.1:{port}",
        "backup_s3_region": "us-east-1",
        "backup_s3_access_key": "key",
        "backup_s3_secret_key": S3_SECRET,
    }
    client = boto3.client(
        "s3",
        endpoint_url=settings["backup_s3_endpoint_url"],
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key=S3_SECRET,
    )
    try:
        client.create_bucket(Bucket="commands")
        yield settings
    finally:
        client.close()
        server.stop()


@contextmanager
def empty_servers(here: Installation, postgresql_url: str) -> Iterator[dict[str, str]]:
    """The settings of a fresh production: an empty PostgreSQL database, and a ClickHouse without ours."""
    name = f"footfall_fresh_{uuid.uuid4().hex[:12]}"
    base = postgresql_url.rpartition("/")[0]
    store = replace(here.store.addresses[0](), database=name)
    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield {"app_database_url": f"{base}/{name}", "clickhouse_url": str(store)}
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
            with closing(BlockConnection(replace(store, database="default"))) as admin:
                admin.command(f"DROP DATABASE IF EXISTS {name} SYNC")


def test_production_is_restored_onto_empty_servers_from_a_bucket(
    places: Callable[[Settings | None], Installation],
    postgresql_settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PostgreSQL, ClickHouse and S3: the newest backup comes back without being named, once, by any machine."""
    source = places(postgresql_settings)
    source.store.migrate()
    add_site(source.engine, "a.test", "UTC")
    fill(source, 500)
    secret = {"secret_key": "s" * 32}
    with bucket() as at_bucket, empty_servers(source, postgresql_settings.app_database_url) as fresh:
        operator = Operator(
            {
                "data_dir": str(source.settings.data_dir),
                "app_database_url": postgresql_settings.app_database_url,
                "clickhouse_url": str(source.store.addresses[0]()),
                "backup_key": KEY,
                **at_bucket,
                **secret,
            }
        )
        operator.done("create")
        fill(source, 100, "2026-10")
        newest = json.loads(operator.done("create", "--json").stdout)["backup_id"]
        assert operator.done("verify").stdout.startswith(f"OK {newest}")

        pod = {**fresh, "data_dir": str(tmp_path / "pod")}
        (address,) = parse_clickhouse_url(fresh["clickhouse_url"])
        there = replace(source, store=Store((lambda: address,), source.store.form))
        # `serve` was started there and made its first site; hits were turned away. That is no installation to lose.
        prepare_data_folder(load_settings(**pod))
        prepare_app_database(load_settings(**pod))
        there.store.migrate()
        there.command("INSERT INTO ledger (site_id, outcome, count) VALUES (0, 'unknown_site', 3)")
        # A pod that is killed in the middle takes its data folder along: the next one goes on all the same.
        with monkeypatch.context() as patch:
            patch.setattr("server.cli_backup.progress_bar", killing_bar)
            with pytest.raises(Killed):
                operator.call("restore", **pod)
        shutil.rmtree(tmp_path / "pod")
        oldest = json.loads(operator.done("list", "--json").stdout)[0]["backup_id"]
        other = operator.call("restore", oldest, **pod)
        assert (other.exit_code, "is half restored here" in other.stderr) == (1, True)
        restored = operator.done("restore", **pod)
        assert restored.stdout.startswith(f"restored {newest}: ")
        assert "Everybody has to log in again" in restored.stderr
        assert contents(there) == contents(source)
        again = operator.call("restore", **pod)
        assert (again.exit_code, "add --replace, which deletes all of that first" in again.stderr) == (1, True)
        assert operator.done("restore", "--replace", **pod).exit_code == 0
        assert contents(there) == contents(source)
    assert S3_SECRET not in "".join(operator.said)
    assert KEY not in "".join(operator.said)
