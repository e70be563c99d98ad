"""What a place that runs cases is: submit one, get a future, and leave."""

from __future__ import annotations

from concurrent.futures import Future
from types import TracebackType
from typing import Protocol


class WorkerLost(ValueError):
    """The process or the machine that ran a case died, as often as it was tried again."""


class Workers(Protocol):
    """A context: leaving it with an exception cancels what still runs.

    slots: cases that may be handed over at once.
    """

    @property
    def slots(self) -> int: ...

    def submit(self, index: int) -> Future[Exception | None]:
        """Hand over the case at `index` of the plan. The future's result is None, or why the case
        could not be run; whatever else was raised is the future's exception."""

    def __enter__(self) -> Workers: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
