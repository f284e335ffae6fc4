"""Backups in a bucket: against a server that speaks S3, with objects of one part and of several."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from botocore.stub import Stubber
from moto.server import ThreadedMotoServer

from server.backups.errors import MissingObject, TargetRefused, TargetUnavailable
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


def stubbed() -> tuple[S3Target, Stubber]:
    """A target whose bucket says what a test has it say."""
    settings = load_settings(backup_target="s3://backups/of/us", backup_s3_region="us-east-1")
    client = boto3.client("s3", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    return S3Target(client, "backups", S3Target.of(settings)._prefix, part_bytes=PART_BYTES), Stubber(client)


def test_a_list_of_several_pages_is_read_to_its_end() -> None:
    """A backup that a list left out would be taken for gone, and its objects removed."""
    target, stub = stubbed()
    at = datetime(2026, 11, 30, tzinfo=UTC)
    listed = {"Bucket": "backups", "Prefix": "of/us/objects/"}
    for page in range(3):
        key = f"of/us/objects/{page}"
        more = {"IsTruncated": True, "NextContinuationToken": f"after {page}"} if page < 2 else {"IsTruncated": False}
        answer = {"Contents": [{"Key": key, "Size": page, "LastModified": at}], **more}
        stub.add_response(
            "list_objects_v2", answer, listed | ({"ContinuationToken": f"after {page - 1}"} if page else {})
        )
    for page in range(2):
        upload = {"Key": f"of/us/objects/{page}", "UploadId": str(page), "Initiated": at}
        more = {"IsTruncated": True, "NextKeyMarker": "k", "NextUploadIdMarker": "u"} if page == 0 else {}
        asked = {"Bucket": "backups", "Prefix": "of/us/"} | ({"KeyMarker": "k", "UploadIdMarker": "u"} if page else {})
        stub.add_response("list_multipart_uploads", {"Uploads": [upload], **more}, asked)
        aborted = {"Bucket": "backups", "Key": upload["Key"], "UploadId": upload["UploadId"]}
        stub.add_response("abort_multipart_upload", {}, aborted)
    with stub:
        assert [each.path for each in target.stored("objects")] == ["objects/0", "objects/1", "objects/2"]
        assert target.remove_leftovers(2**53) == 2


@pytest.mark.parametrize("step", ["upload_part", "complete_multipart_upload"])
def test_an_upload_that_a_store_refuses_halfway_is_given_up(client: Any, target: S3Target, step: str) -> None:
    class Full:
        """The bucket, until it is full."""

        def __getattr__(self, name: str) -> Any:
            if name == step:
                raise ClientError({"Error": {"Code": "InternalError"}}, name)
            return getattr(client, name)

    refusing = S3Target(Full(), "backups", "/of/us/", part_bytes=PART_BYTES)
    with pytest.raises(TargetUnavailable, match="InternalError"), refusing.uploading("objects/half") as put:
        put(bytes(PART_BYTES + 1))
    assert target.size("objects/half") is None
    assert target.remove_leftovers(2**53) == 0, "it was aborted"


def test_an_object_that_ends_early_on_the_way_is_no_shorter_object() -> None:
    target, stub = stubbed()
    stub.add_response(
        "get_object", {"Body": StreamingBody(BytesIO(b"half"), 8)}, {"Bucket": "backups", "Key": "of/us/a"}
    )
    with stub, target.downloading("a") as read, pytest.raises(TargetUnavailable, match="does not answer"):
        read(8)


def test_what_is_still_needed_is_renewed(client: Any, target: S3Target) -> None:
    with target.uploading("objects/old") as put:
        put(bytes(range(256)))
    key = {"Bucket": "backups", "Key": "of/us/objects/old"}
    first = client.head_object(**key)["LastModified"]
    target.renew("objects/old", 0)
    assert client.head_object(**key)["LastModified"] == first, "it is young"
    time.sleep(1.1)  # times are told in seconds
    target.renew("objects/old", 2**53)
    assert client.head_object(**key)["LastModified"] > first
    with target.downloading("objects/old") as read:
        assert read(1_000) == bytes(range(256))
    target.remove("objects/old")
    with pytest.raises(MissingObject):
        target.renew("objects/old", 2**53)


def test_places_of_other_installations_are_left_alone(client: Any, target: S3Target) -> None:
    other = S3Target(client, "backups", "/of/us-too/")
    with other.uploading("objects/theirs") as put:
        put(b"x")
    client.create_multipart_upload(Bucket="backups", Key="of/us-too/objects/theirs too")
    assert list(target.stored("objects")) == []
    assert target.remove_leftovers(2**53) == 0
    assert other.remove_leftovers(2**53) == 1


def test_parts_grow_so_that_what_s3_takes_is_enough() -> None:
    target = S3Target(None, "backups", "")
    assert sum(target.part_bytes(part) for part in range(10_000)) > 800 * 1024**3
    assert target.part_bytes(9_999) < 5 * 1024**3, "the largest part that it takes"


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
