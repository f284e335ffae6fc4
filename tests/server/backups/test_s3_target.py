"""Backups in a bucket: against a server that speaks S3, with objects of one part and of several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto.server import ThreadedMotoServer

from server.backups.errors import MissingObject, TargetRefused
from server.backups.s3_target import S3Target
from server.backups.target import Stored
from server.config import load_settings

PART_BYTES = 5 * 1024 * 1024


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    made = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    made.create_bucket(Bucket="backups")
    yield made
    made.close()
    server.stop()


@pytest.fixture
def target(client: Any) -> S3Target:
    return S3Target(client, "backups", "/of/us/", part_bytes=PART_BYTES)


@pytest.mark.parametrize("size", [0, 10, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES + 7])
def test_what_was_uploaded_is_downloaded(target: S3Target, size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    path = f"objects/{size}"
    with target.uploading(path) as put:
        for at in range(0, size, 1_000_000):
            put(content[at : min(size, at + 1_000_000)])
    assert target.size(path) == size
    with target.downloading(path) as read:
        assert b"".join(iter(lambda: read(1_048_592), b"")) == content[:size]
    assert [each.path for each in target.stored("objects") if each.file_bytes == size] == [path]
    target.remove(path)
    assert target.size(path) is None
    with pytest.raises(MissingObject, match=path), target.downloading(path):
        pass


def test_an_upload_that_is_cut_short_leaves_nothing_to_see(target: S3Target) -> None:
    def cut_short() -> None:
        with target.uploading("objects/cut") as put:
            put(bytes(PART_BYTES + 1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cut_short()
    found: list[Stored] = list(target.stored("objects"))
    assert found == []
    assert target.remove_leftovers(2**53) == 0


def test_what_a_killed_upload_left_is_removed(target: S3Target, client: Any) -> None:
    client.create_multipart_upload(Bucket="backups", Key="of/us/objects/killed")
    assert target.remove_leftovers(0) == 0
    assert target.remove_leftovers(2**53) == 1
    assert target.remove_leftovers(2**53) == 0


def test_a_bucket_that_is_not_there_is_named(client: Any) -> None:
    with pytest.raises(TargetRefused, match=r"s3://elsewhere refuses us \(NoSuchBucket\)"):
        list(S3Target(client, "elsewhere", "").stored("objects"))


def test_a_refused_credential_says_what_to_check() -> None:
    settings = load_settings(
        backup_target="s3://backups/x",
        backup_s3_region="us-east-1",
        backup_s3_access_key="AKIA-not-shown",
        backup_s3_secret_key="also-not-shown",
    )
    target = S3Target.of(settings)
    with Stubber(target._client) as stub:
        stub.add_client_error("put_object", "InvalidAccessKeyId", http_status_code=403)
        with (
            pytest.raises(TargetRefused, match="check the bucket, the credentials") as refused,
            target.uploading("a") as put,
        ):
            put(b"x")
    assert "not-shown" not in str(refused.value)
