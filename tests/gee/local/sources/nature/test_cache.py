from threading import Barrier, Thread

import pytest

from gee.local.sources.nature.cache import ByteCache


def test_the_entries_used_last_are_kept_within_the_limit():
    made = []
    cache = ByteCache(30, len)

    def get(key):
        return cache.get(key, lambda: made.append(key) or bytes(10))

    for key in "abcad":
        get(key)
    assert made == ["a", "b", "c", "d"]
    get("a")
    get("b")
    assert made == ["a", "b", "c", "d", "b"]


def test_an_entry_larger_than_the_cache_is_made_but_not_kept():
    cache = ByteCache(5, len)
    assert cache.get("big", lambda: bytes(9)) == bytes(9)
    assert cache.get("big", lambda: b"new") == b"new"


def test_threads_that_ask_together_make_an_entry_once():
    made, seen, start = [], [], Barrier(8)
    cache = ByteCache(100, len)

    def ask():
        start.wait()
        seen.append(cache.get("k", lambda: made.append(1) or bytes(10)))

    threads = [Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert all(value is seen[0] for value in seen)


def test_a_failure_is_told_and_the_next_caller_tries_again():
    cache = ByteCache(100, len)
    with pytest.raises(ZeroDivisionError):
        cache.get("k", lambda: bytes(1 // 0))
    assert cache.get("k", lambda: b"ok") == b"ok"
