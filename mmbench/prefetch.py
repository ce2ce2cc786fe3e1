"""What comes next is fetched while the present is worked on, in the order it was asked for."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

AHEAD = 2
"""How many results may wait: enough to level out uneven batches, little enough memory."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(
    fetch: Callable[[Item], Result], items: Iterable[Item], depth: int = AHEAD
) -> Iterator[Result]:
    """``fetch(item)`` for each item in order, done by one thread up to ``depth`` items early.

    An error is raised where its result would have come. Whoever stops early stops the thread.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:
        try:
            for item in items:
                waiting.append(thread.submit(fetch, item))
                if len(waiting) > depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
