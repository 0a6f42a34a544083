"""A network that runs beside another one of its architecture, product by product."""

from __future__ import annotations

import threading
from collections.abc import Collection
from types import TracebackType

import torch
from torch import nn

from rdsearch.base.network.inputs import Inputs, forward
from rdsearch.quantization.operations import Product
from rdsearch.quantization.watch import Watch, watching

Key = tuple[str, int]
"""A weight's name, and the number of one of its products in a pass."""


class _Stopped(BaseException):
    """Nobody asks for products any more."""


class Lockstep:
    """A forward pass that stands still at each product until somebody asks for a later one.

    It runs in a thread of its own, and never while the one who asks does: of all that it computes, one product and what
    the network itself holds at that place are there at a time. Use it as a context manager: leaving ends the pass.

    Args:
        network: What runs.
        products: The products that may be asked for, of all that it computes.
        batch: Its inputs.
    """

    def __init__(self, network: nn.Module, products: Collection[Key], batch: Inputs) -> None:
        self._network, self._products, self._batch = network, frozenset(products), batch
        self._asked, self._answered = threading.Semaphore(0), threading.Semaphore(0)
        self._calls: dict[str, int] = {}
        self._passed: set[Key] = set()
        self._at: tuple[Key, Product] | None = None
        self._error: BaseException | None = None
        self._stopped = self._ended = False
        self._inference = torch.is_inference_mode_enabled()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Lockstep:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped = True
        self._asked.release()
        self._thread.join()
        self._at = None

    def product(self, name: str, call: int) -> Product | None:
        """The product of a weight; ``None`` where the pass has none, or has gone past it.

        Args:
            name: Of the weight.
            call: Number of the product, from 0.

        Raises:
            Exception: What the network raises in running.
        """
        key = name, call
        if key not in self._products:
            return None
        while not self._ended and (self._at is None or self._at[0] != key) and key not in self._passed:
            self._at = None
            self._asked.release()
            self._answered.acquire()
            if self._error is not None:
                raise self._error
        return self._at[1] if self._at is not None and self._at[0] == key else None

    def _run(self) -> None:
        self._asked.acquire()
        try:
            if not self._stopped:
                watch = Watch(self._network, list({name for name, _ in self._products}), self._look)
                # The thread's own modes are those of a new one.
                with torch.inference_mode(self._inference), watching(self._network, watch):
                    forward(self._network, self._batch)
        except _Stopped:
            pass
        except BaseException as error:  # raised again where it was asked for
            self._error = error
        self._ended = True
        self._answered.release()

    def _look(self, name: str, product: Product) -> None:
        key = name, self._calls.get(name, 0)
        self._calls[name] = key[1] + 1
        if key not in self._products:
            return
        self._at = key, product
        self._answered.release()
        self._asked.acquire()
        if self._stopped:
            raise _Stopped
        self._passed.add(key)
