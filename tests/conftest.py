"""One thread per test process: networks are tiny, and results must not depend on the machine. The
examples that hypothesis makes up are the same in every run; `make stress` looks for others.

Interrupts are heard, also where the tests run in the background of a shell, which has them ignored
by all that it starts: some tests interrupt studies.
"""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
