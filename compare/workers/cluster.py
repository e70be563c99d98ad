"""Cases as tasks of a Ray cluster that runs already.

Ray decides where a task starts, and starts it again elsewhere when its machine dies. The study's
directory lies on storage that all machines share, which each of them is asked to prove: so a case
goes on from the checkpoint that the dead machine left. Nothing is contacted but the cluster at the
given address.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from compare.machine import versions
from compare.plan import Plan
from compare.study import StudyError
from compare.workers.case import Settings, attempt
from compare.workers.interface import WorkerLost
from compare.workers.ticks import Tick

REACH_S = 5.0  # to reach the given address
ANSWER_S = 600.0  # for a machine's first answer: it may be busy, and starts a process first
RETRIES = 5  # of a case whose process or machine died
AT_ONCE = 10_000  # tasks handed to Ray, which queues them


@contextmanager
def connect(address: str) -> Iterator[None]:
    """Join the cluster at `address`, auto or HOST:PORT; StudyError in one line where that fails."""
    _reach(address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError as error:
        raise StudyError("--cluster needs Ray: pip install 'isospike[cluster]'") from error
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        with chdir("/"):  # Ray lets tasks import from here first: a user's network.py hid ours
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ValueError, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise StudyError(
            f"cannot join the Ray cluster {address}: {reason}; this machine must be one of its own "
            f"(ray start --address=HOST:PORT)"
        ) from error
    finally:
        signal.signal(signal.SIGTERM, terminate)  # Ray puts its own in the place of ours
    with redirect_stdout(sys.stderr):  # where Ray's remarks on machines that died belong
        try:
            yield
        finally:
            ray.shutdown()


def _reach(address: str) -> None:
    """Ray itself would try for two minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise StudyError(f"--cluster must be auto or HOST:PORT, got {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()
    except (OSError, OverflowError) as error:
        raise StudyError(f"no Ray cluster answers at {address} ({error})") from error


class Cluster:
    """Every case is one task, on as many cores as the study has threads (and one GPU on cuda)."""

    def __init__(self, plan: Plan, settings: Settings, device: torch.device) -> None:
        import ray

        here = replace(plan, directory=plan.directory.resolve())
        data = None if settings.data is None else settings.data.resolve()
        self.plan = here
        self.settings = replace(settings, data=data, download=False, device=device.type)
        self.slots = settings.jobs or AT_ONCE
        self.needs = {"CPU": plan.study.threads or 1, "GPU": int(device.type == "cuda")}
        cores, accelerators = self.needs["CPU"], self.needs["GPU"]
        task = ray.remote(num_cpus=cores, num_gpus=accelerators, max_retries=RETRIES)
        self.run = task(_run)
        self.running: dict[Future[Exception | None], Any] = {}
        self.mark = here.directory / "work" / f".cluster-{secrets.token_hex(8)}"
        self.versions = versions()

    def submit(self, index: int) -> Future[Exception | None]:
        reference = self.run.remote(
            self.plan, index, self.settings, self.mark, self.versions, os.getcwd()
        )
        future: Future[Exception | None] = Future()
        self.running[future] = reference
        future.add_done_callback(self.running.pop)
        reference.future().add_done_callback(partial(_pass_on, future))
        return future

    def __enter__(self) -> Cluster:
        self.mark.touch()
        try:
            self._check_machines()
        except BaseException:
            self.mark.unlink()
            raise
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        import ray

        for reference in list(self.running.values()):
            ray.cancel(reference, force=True)
        self.mark.unlink(missing_ok=True)

    def _check_machines(self) -> None:
        """Every machine has isospike of these versions and sees the directory; one is big enough.

        A machine that joins later is checked by the first task that it gets.
        """
        import ray
        from ray.exceptions import GetTimeoutError, RayError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        machines = [node for node in ray.nodes() if node["Alive"]]
        if not any(
            all(node["Resources"].get(kind, 0) >= count for kind, count in self.needs.items())
            for node in machines
        ):
            wanted = ", ".join(f"{count} {kind}" for kind, count in self.needs.items() if count)
            raise StudyError(f"no machine of the cluster has what a case takes: {wanted}")
        look = ray.remote(num_cpus=0, max_retries=0)(_look)
        for node in machines:
            place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            answer = look.options(scheduling_strategy=place).remote(self.mark, self.versions)
            try:
                ray.get(answer, timeout=ANSWER_S)
            except (GetTimeoutError, RayError) as error:
                host = node["NodeManagerHostname"]
                if isinstance(error, GetTimeoutError):
                    raise StudyError(f"{host} has not answered within {ANSWER_S:.0f} s") from error
                raise _reason(error, host) from error


def _reason(error: Exception, host: str) -> Exception:
    """What a task raised, in one line; a task that could not even be imported says so last."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, ValueError | OSError | MemoryError):
        return cause
    last = (str(error).strip().splitlines() or [""])[-1]
    if "No module named" in last:
        last += ": install isospike there, in the same version"
    return StudyError(f"{host}: {type(error).__name__}: {last}")


def _pass_on(future: Future[Exception | None], done: Future[Any]) -> None:
    """A task's end: what it returned or raised; a machine that died again and again is a reason."""
    from ray.exceptions import RayError, RayTaskError

    error = done.exception()
    if error is None:
        future.set_result(done.result())
    elif isinstance(error, RayTaskError):
        future.set_exception(_reason(error, "a machine of the cluster"))
    elif isinstance(error, RayError):
        text = " ".join(str(error).split())[:200]
        future.set_result(WorkerLost(f"its process died {RETRIES + 1} times: {text}"))
    else:
        future.set_exception(error)


def _look(mark: Path, expected: dict[str, str]) -> None:
    """Runs on a machine of the cluster: StudyError where a case could not run there."""
    host = socket.gethostname()
    if not mark.exists():
        raise StudyError(
            f"{host} does not see {mark.parent.parent}: give an --out on storage that all machines "
            "of the cluster share"
        )
    found = versions()
    for name, version in expected.items():
        if found[name] != version:
            raise StudyError(f"{host} has {name} {found[name]}, and here it is {version}")


def _run(
    plan: Plan, index: int, settings: Settings, mark: Path, expected: dict[str, str], folder: str
) -> Exception | None:
    """Runs on a machine of the cluster. `folder`: where the study's relative paths begin."""
    _look(mark, expected)
    if os.path.isdir(folder):
        os.chdir(folder)
    return attempt(plan, index, settings, Tick(plan, index))
