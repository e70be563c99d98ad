"""`isospike` that checkpoints every fifth of a second, and may kill itself between two files.

With arguments it is the command; with none it loads everything once, reads one JSON line per run
(arguments, folder, environment, out, error) and forks a process for each, which answers with its
number and then its exit code: a start then costs no seconds.

ISOSPIKE_MARKS=FILE: when a stage of a case begins or ends, add a line: begin or end, the stage,
the process, the time.
ISOSPIKE_KILL_AT=N: SIGKILL to the whole process group at the N-th change of a file or directory
below the current directory. Processes of --jobs run this file again, so they do the same.
ISOSPIKE_KILL_IN=STAGE: count the changes during that stage only.
ISOSPIKE_NO_REPORT=1: leave out the report of a study, half of the time of a small one.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import compare.__main__ as command_line
import compare.commands as commands
import compare.halfway
import compare.run
import network.fit
from compare.case_context import CaseContext
from compare.store import Store

INTERVAL_S = 0.2
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

network.fit.CHECKPOINT_EVERY_S = INTERVAL_S
compare.halfway.SAVE_EVERY_S = INTERVAL_S
under_way: list[str] = []  # stages of this process, now


def install_marks(file: str) -> None:
    """Every stage says when it begins and ends."""
    marks = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def mark(what: str, stage: str) -> None:  # in one call: processes do not mix their lines
        os.write(marks, f"{what} {stage} {os.getpid()} {time.monotonic()}\n".encode())

    @contextmanager
    def during(stage: str) -> Iterator[None]:
        under_way.append(stage)
        mark("begin", stage)
        try:
            yield
        finally:
            mark("end", stage)
            under_way.remove(stage)

    def is_stage(stage: str, owner: Any, name: str) -> None:
        function: Callable[..., Any] = getattr(owner, name)

        @wraps(function)
        def marked(*arguments: Any, **options: Any) -> Any:
            with during(stage):
                return function(*arguments, **options)

        setattr(owner, name, marked)

    is_stage("training", CaseContext, "fit")
    is_stage("conversion", compare.run, "convert")
    is_stage("sweep", CaseContext, "sweep")
    is_stage("writing", Store, "write_records")
    writing_a_case = Store.writing

    @contextmanager
    def writing(store: Store, case: str, content: dict[str, Any]) -> Iterator[Path]:
        with during("writing"), writing_a_case(store, case, content) as folder:
            yield folder

    Store.writing = writing  # type: ignore[method-assign]


def install_kill(kill_at: int, stage: str | None) -> None:
    here, seen = os.getcwd(), 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if stage is not None and stage not in under_way:
            return
        if event == "open":
            changes = isinstance(arguments[2], int) and bool(arguments[2] & WRITING)
        else:
            changes = event in CHANGES
        if changes and isinstance(arguments[0], str | os.PathLike):
            path = os.path.abspath(os.fspath(arguments[0]))
            if path.startswith(here) and "progress.json" not in path:
                seen += 1
                if seen == kill_at:
                    os.killpg(os.getpgrp(), signal.SIGKILL)

    sys.addaudithook(hook)


def install() -> None:
    """What the environment of this process asks for."""
    if "ISOSPIKE_MARKS" in os.environ:
        install_marks(os.environ["ISOSPIKE_MARKS"])
    if "ISOSPIKE_KILL_AT" in os.environ:
        install_kill(int(os.environ["ISOSPIKE_KILL_AT"]), os.environ.get("ISOSPIKE_KILL_IN"))


def main() -> None:
    """The command, as this process's environment has it."""
    if "ISOSPIKE_NO_REPORT" in os.environ:
        commands.report_on = lambda directories, out: None
    command_line.main()


def begin(order: dict[str, Any]) -> None:
    """In a forked process: become the command."""
    os.setsid()
    os.chdir(order["folder"])
    for path, stream in ((order["out"], 1), (order["error"], 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.update(order["environment"])
    sys.argv[1:] = order["arguments"]
    install()
    main()


def serve() -> None:
    """Run what is asked for, one after another, until the input ends."""
    import reports.page  # noqa: F401  (loaded here once, not in every process)

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            begin(json.loads(line))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ != "__main__":  # a process of --jobs
    install()
elif sys.argv[1:]:
    main()
else:
    serve()
