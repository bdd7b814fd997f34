"""Blocks of logits handed on while the network works on the next ones.

One block waits or is used at a time, in a thread of its own; so as much memory is taken for what has been
answered as one block needs, however slow its use is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from .blocks import Block
from .times import StageTimes


def handed_on(
    blocks: Iterator[Block], use: Callable[[Block], object], times: StageTimes
) -> Callable[[], None]:
    """`use` of every block, one after the other; of the last one where and when what is returned is called.

    Then whoever waits for the last label map need not keep the network from the next case.
    """

    def used(block: Block) -> None:
        with times.of("label export"):
            use(block)

    using: Future[None] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="label export") as beside:
        while True:
            with times.of("network"):
                block = next(blocks)
            if using is not None:
                using.result()
            block = block.kept()
            if block.last:
                return lambda: used(block)
            using = beside.submit(used, block)
