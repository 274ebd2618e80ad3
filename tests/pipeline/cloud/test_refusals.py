"""What refusals mean. The words are the engine's own, as its guides and users' reports quote them."""

from __future__ import annotations

import itertools
import json
import time
from typing import NoReturn

import ee
import pytest
import requests
from google.auth.exceptions import RefreshError, TransportError
from googleapiclient.errors import HttpError
from httplib2 import Response

from pipeline.cloud.refusals import Patience, Refusal, RefusedError, Verdict
from pipeline.errors import AuthError, EngineError, QuotaError

# Code of the operation, words, what to do.
TASKS = [
    (3, "User memory limit exceeded.", Verdict.SPLIT),
    (8, "Execution failed; out of memory.", Verdict.SPLIT),
    (4, "Computation timed out.", Verdict.SPLIT),
    (3, "Computed value is too large.", Verdict.SPLIT),
    (3, "Output of image computation is too large (37 bands for 5201 pixels = 1.5 MiB > 1.0 MiB).",
     Verdict.SPLIT),
    (3, "Export too large: specified 2000000000 pixels (max: 100000000). Specify higher maxPixels value if "
        "you intend to export a large area.", Verdict.SPLIT),
    (3, "Too many pixels in the region. Found 14580000, but maxPixels allows only 10000000.", Verdict.SPLIT),
    (13, "Internal error.", Verdict.RETRY),
    (3, "An internal server error has occurred (a8d4d5).", Verdict.RETRY),
    (14, "The service is currently unavailable.", Verdict.RETRY),
    (8, "Earth Engine capacity exceeded.", Verdict.RETRY),
    (3, "Image.load: Image asset 'a/b' not found (does not exist or caller does not have access).",
     Verdict.FINAL),
    (3, "Image.select: Band pattern 'sur_refl_b09' did not match any bands.", Verdict.FINAL),
    (9, "Cannot overwrite asset 'projects/p/assets/a'.", Verdict.FINAL),
    (7, "service-1@x.iam.gserviceaccount.com does not have storage.objects.create access.", Verdict.RIGHTS),
    (3, "The asset storage quota of the project is exceeded.", Verdict.QUOTA),
]  # fmt: skip


@pytest.mark.parametrize(("code", "words", "verdict"), TASKS)
def test_of_a_task(code, words, verdict):
    assert Refusal.of_task({"code": code, "message": words}) == Refusal(verdict, words)


def refused(status: int, words: str) -> NoReturn:
    """As the client raises it: its own error, out of the HTTP client's."""
    body = json.dumps({"error": {"code": status, "message": words}}).encode()
    try:
        raise HttpError(Response({"status": status, "content-type": "application/json"}), body)
    except HttpError:
        raise ee.EEException(words)  # noqa: B904


REQUESTS = [
    (429, "Too Many Requests: Request was rejected because the request rate or concurrency limit was "
          "exceeded.", Verdict.RETRY),
    (429, "Quota exceeded for quota metric 'Number of read requests' and limit 'Number of read requests per "
          "minute per user' of service 'earthengine.googleapis.com'.", Verdict.RETRY),
    (429, "Quota exceeded for quota metric 'EECU-seconds' and limit 'EECU-seconds per day'.", Verdict.QUOTA),
    (429, "Too many tasks already in the queue (3000). Please wait for some of them to complete.",
     Verdict.FULL),
    (500, "Internal error encountered.", Verdict.RETRY),
    (502, "Bad gateway", Verdict.RETRY),
    (503, "The service is currently unavailable.", Verdict.RETRY),
    (504, "Deadline exceeded.", Verdict.RETRY),
    (401, "Request had invalid authentication credentials.", Verdict.AUTH),
    (403, "Caller does not have required permission to use project p.", Verdict.RIGHTS),
    (404, "Operation not found: try again.", Verdict.MISSING),
    (400, "User memory limit exceeded.", Verdict.SPLIT),
    (400, "Request payload size exceeds the limit: 10485760 bytes.", Verdict.FINAL),
]  # fmt: skip


@pytest.mark.parametrize(("status", "words", "verdict"), REQUESTS)
def test_of_a_request(status, words, verdict):
    with pytest.raises(ee.EEException) as caught:
        refused(status, words)
    assert Refusal.of_request(caught.value) == Refusal(verdict, words)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (requests.exceptions.ConnectionError("Remote end closed connection without response"), Verdict.RETRY),
        (requests.exceptions.ReadTimeout("Read timed out."), Verdict.RETRY),
        (requests.exceptions.ChunkedEncodingError("Response ended prematurely"), Verdict.RETRY),
        (json.JSONDecodeError("Expecting value", "<html>", 0), Verdict.RETRY),
        (TransportError("the token's server does not answer"), Verdict.RETRY),
        (RefreshError("invalid_grant: Token has been expired or revoked."), Verdict.AUTH),
        (ee.EEException("Earth Engine client library not initialized."), Verdict.FINAL),
    ],
)
def test_of_a_connection_and_the_client_itself(error, verdict):
    assert Refusal.of_request(error).verdict is verdict


def test_a_mistake_of_the_program_is_none_of_the_engine():
    with pytest.raises(KeyError):
        Refusal.of_request(KeyError("name"))


@pytest.mark.parametrize(
    ("verdict", "kind", "remedy"),
    [
        (Verdict.AUTH, AuthError, "gee-smap auth"),
        (Verdict.RIGHTS, AuthError, "gee-smap doctor"),
        (Verdict.QUOTA, QuotaError, "the same command then goes on"),
        (Verdict.FINAL, EngineError, "Mend it."),
        (Verdict.RETRY, EngineError, "Mend it."),
    ],
)
def test_an_error_says_what_failed_why_and_what_to_do(verdict, kind, remedy):
    error = Refusal(verdict, "No.").error("static failed", "Mend it.")
    assert type(error) is kind
    assert str(error).startswith("static failed. Earth Engine answers: No. ")
    assert remedy in str(error)


def test_what_may_pass_is_asked_again_and_told_and_the_rest_is_not():
    told: list[str] = []
    answers = iter(["a", "b", None])

    def request() -> str:
        trouble = next(answers)
        if trouble:
            raise ConnectionError(trouble)
        return "answer"

    patience = Patience(first=0.001, longest=0.002, limit=5)
    assert patience.ask(request, lambda refusal: told.append(refusal.words)) == "answer"
    assert told == ["a", "b"]

    asked: list[int] = []

    def wrong() -> NoReturn:
        asked.append(1)
        refused(400, "Invalid argument.")

    with pytest.raises(RefusedError, match="Invalid argument"):
        patience.ask(wrong, lambda refusal: None)
    assert len(asked) == 1


def test_asking_again_takes_longer_each_time_and_ends():
    times: list[float] = []

    def request() -> NoReturn:
        times.append(time.monotonic())
        raise ConnectionError

    began = time.monotonic()
    with pytest.raises(RefusedError, match="ConnectionError"):
        Patience(first=0.02, longest=0.1, limit=0.5).ask(request, lambda refusal: None)
    assert time.monotonic() - began < 2
    waits = [after - before for before, after in itertools.pairwise(times)]
    # 0.02, 0.04, 0.08, 0.1, 0.1, ... seconds, each 30 % more or less
    for wait, least in zip(waits, [0.014, 0.028, 0.056, 0.07], strict=False):
        assert wait >= least
    assert 4 <= len(waits) <= 9
