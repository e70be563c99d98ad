"""One case after another, in this process."""

from __future__ import annotations

from concurrent.futures import Future

from compare.joint import Joint
from compare.plan import Plan
from compare.progress import Progress
from compare.workers.case import Settings, attempt


class Here:
    """`submit` returns when the case is done."""

    slots = 1

    def __init__(self, plan: Plan, settings: Settings, progress: Progress) -> None:
        self.plan, self.settings, self.progress = plan, settings, progress
        self.joint: Joint | None = None

    def submit(self, index: int) -> Future[Exception | None]:
        before = self.progress.done

        def tell(label: str, done: float) -> None:
            self.progress.label = label
            self.progress.set_done(before + done)

        future: Future[Exception | None] = Future()
        error = attempt(self.plan, index, self.settings, tell, self.joint)
        self.progress.set_done(before + (self.plan.work[index] if error is None else 0.0))
        future.set_result(error)
        return future

    def __enter__(self) -> Here:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        return
