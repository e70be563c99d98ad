"""The command line: what every command ends with, in one line and with one exit code."""

from __future__ import annotations

import io
import os
import signal
import sys
import warnings
from typing import Any

import typer

from compare.commands import app, command_line
from compare.ranks import end_at_once, is_follower, let_the_first_speak, world_size
from compare.spinning import rest_soon
from compare.warning_lines import in_one_line

FAULT, BAD_INPUT, INTERRUPTED = 1, 2, 130
WORK = (["compare"], ["convert"])  # what these have not done, nobody has read

# typer brings its own copy of click from some version on: reach its classes by a public name.
ClickException: type[Exception] = typer.BadParameter.__mro__[2]


def main() -> None:
    """Entry point: exit codes 0 done, 2 bad input (one line), 130 interrupted, 1 our own fault."""
    rest_soon()
    warnings.formatwarning = in_one_line
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # θ and × where the terminal has no such letters
            stream.reconfigure(errors="replace")
    try:
        code = app(standalone_mode=False)
    except ClickException as error:
        code = _fail(_in_one_line(error))
    except SystemExit as end:  # click's way where nobody reads on, as in `isospike list | head`
        if not isinstance(end.__context__, BrokenPipeError) or sys.argv[1:2] in WORK:
            raise
        code = 0
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except (ValueError, OSError) as error:
        if os.environ.get("ISOSPIKE_DEBUG"):
            raise
        code = _fail(_reason(error))
    except Exception as error:  # a fault of ours: still one line, and another code
        if os.environ.get("ISOSPIKE_DEBUG"):
            raise
        code = _fail("out of memory") if _of_memory(error) else _fault(error)
    if code == INTERRUPTED:  # typer turns an interrupt into this code itself
        resumes = sys.argv[1:2] == ["compare"]
        how = "goes on from where it was" if resumes else "begins anew"
        _say(f"interrupted; the same command {how}: {command_line()}")
    elif code and is_follower():
        let_the_first_speak()
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # told again when Python ends, unless there is nothing left to write
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if world_size() > 1:
        end_at_once(code or 0)
    sys.exit(code or 0)


def _interrupt(number: int, frame: Any) -> None:
    del number, frame
    raise KeyboardInterrupt


def _of_memory(error: Exception) -> bool:
    """Whether memory did not suffice; torch, which has errors of its own, may not be loaded."""
    if "torch" not in sys.modules:
        return isinstance(error, MemoryError)
    from compare.faults import is_out_of_memory

    return is_out_of_memory(error)


def _fault(error: Exception) -> int:
    reason = f"{type(error).__name__}: {error}"
    _fail(f"a fault of isospike itself: {reason} (with ISOSPIKE_DEBUG=1: where)")
    return FAULT


def _fail(message: str) -> int:
    _say(" ".join(message.split()))
    return BAD_INPUT


def _reason(error: Exception) -> str:
    """What the system says of which file, without its number; else the error's own words."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _say(message: str) -> None:
    if is_follower():  # the first of torchrun's processes speaks for all
        return
    sys.stderr.write(f"isospike: {message}\n")


def _in_one_line(error: Any) -> str:
    context = getattr(error, "ctx", None)
    hint = f" (see {context.command_path} --help)" if context is not None else ""
    return f"{error.format_message()}; got: {command_line()}{hint}"


if __name__ == "__main__":
    main()
