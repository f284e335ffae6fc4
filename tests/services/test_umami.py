"""The pinned archive can be fetched and holds the tracker."""

from tests.services.umami import umami_tracker


def test_the_tracker_posts_to_api_send() -> None:
    script = umami_tracker()
    assert "/api/send" in script
    assert "website-id" in script
