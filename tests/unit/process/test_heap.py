"""What a ready process holds is not collected any more; what it makes later is."""

import gc
import weakref

from tradewind.process.heap import settle_heap


class Node:
    """Refers to itself, so that only a collection frees it."""

    def __init__(self) -> None:
        self.itself = self


def test_settled_heap_is_left_out_of_collections_that_still_free_what_comes_later() -> None:
    before = weakref.ref(Node())
    settle_heap()
    try:
        later = weakref.ref(Node())
        gc.collect()
        assert before() is not None
        assert later() is None
    finally:
        gc.unfreeze()
