"""Progress of a study: the share and the time left that are shown, and the work that is counted."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor

from compare.case_context import TRAINING_COST, CaseContext, Workplace
from compare.plan import image_steps
from compare.progress import Progress
from compare.resolved import ANN_RECIPE
from compare.run import _Clock
from compare.store import Store
from network.fit import Epoch, Outcome
from tests import small_networks
from tests.test_half_a_batch import ann_case, made_up
from tests.test_halfway import CPU

NOW = 1000.0


def progress(done: float, *, finished: int = 0, elapsed: float = 60.0) -> Progress:
    """Five cases of 100 units of work."""
    return Progress(
        100.0, 5, Console(quiet=True), done=done, finished=finished, started=NOW - elapsed,
        label="now",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "line"),
    [
        (progress(1.9), "[  2%] 0/5 cases done · now"),  # too little to know a rate
        (progress(0.1, elapsed=119.0), "[  0%] 0/5 cases done · now"),
        (progress(0.1, elapsed=120.0), "[  0%] 0/5 cases done, 33.3 h left · now"),
        (progress(0.0, elapsed=120.0), "[  0%] 0/5 cases done · now"),
        (progress(2.0, elapsed=6.0), "[  2%] 0/5 cases done · now"),
        (progress(2.0), "[  2%] 0/5 cases done, 49 min left · now"),
        (progress(50.0, finished=2), "[ 50%] 2/5 cases done, 60 s left · now"),
        (progress(99.9, finished=4), "[ 99%] 4/5 cases done, 0 s left · now"),
        (progress(100.0, finished=4), "[ 99%] 4/5 cases done · now"),  # more than was foreseen
        (progress(100.0, finished=5), "[100%] 5/5 cases done, 0 s left · now"),
        (
            Progress(0.0, 0, Console(quiet=True), label="now"),
            "[100%] 0/0 cases done, 0 s left · now",
        ),
    ],
)
def test_the_line(shown: Progress, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compare.progress.time", SimpleNamespace(monotonic=lambda: NOW))
    assert shown.line() == line


@pytest.mark.parametrize("start_up", [0.0, 7.0])  # seconds until it tells, less than the first 10
def test_what_was_done_before_does_not_make_the_rate(
    start_up: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that goes on tells half of the work at once; then 1 of 1000 units a second."""
    now = start_up
    monkeypatch.setattr("compare.progress.time", SimpleNamespace(monotonic=lambda: now))
    shown = Progress(1000.0, 1, Console(quiet=True), started=0.0)
    shown.set_done(500.0)
    left = []
    for second in range(1, 201):
        now = start_up + second
        shown.advance(1.0)
        left.append(shown.seconds_left)
    known = next(i for i, value in enumerate(left) if value is not None)
    assert known + 1 + start_up == 10
    assert left[known:] == pytest.approx([499.0 - s for s in range(known, 200)], rel=0.02)
    assert len(shown._past) < 250


def test_the_rate_follows_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """At first 4 units a second, later, beside other work, 1."""
    now = 0.0
    monkeypatch.setattr("compare.progress.time", SimpleNamespace(monotonic=lambda: now))
    shown = Progress(10_000.0, 1, Console(quiet=True), started=0.0)
    for second in range(1, 2001):
        now = float(second)
        shown.advance(4.0 if second <= 1000 else 1.0)
    assert shown.seconds_left == pytest.approx(5000, rel=0.01)


def test_the_last_case_makes_it_whole(tmp_path: Path) -> None:
    file = tmp_path / "progress.json"
    with Progress(1.0, 1, Console(file=io.StringIO()), file) as shown:
        shown.set_done(2.0)
        shown._write(force=True)
        assert json.loads(file.read_text())["share"] == 0.99
        shown.finish_case()
    content = json.loads(file.read_text())
    assert (content["share"], content["finished"], content["state"]) == (1.0, 1, "finished")


def test_a_study_with_failures_is_never_whole() -> None:
    with progress(100.0, finished=4) as shown:
        shown.failures = {"a": "NaN"}
    assert (shown.share, shown.state) == (0.99, "failed")


def test_validation_after_every_epoch_is_counted(tmp_path: Path) -> None:
    """What training tells, and the ANN's one pass over the test images, is all of its work."""
    case, data, told = ann_case(training={"epochs": 3}), made_up(), list[float]()
    stop_after = 8  # of an epoch: two batches, two of validation, the epoch itself
    store = Store(tmp_path)
    store.work("a").mkdir(parents=True)

    def tell(label: str, work: float) -> None:
        told.append(work)
        if stop_after == len(told):
            raise KeyboardInterrupt

    place = Workplace(store, "s", {"noise": data}, CPU, 100, "test", tell=tell)
    network = small_networks.network("plain")

    def objective(images: Tensor, labels: Tensor, keys: Tensor) -> Outcome:
        scores = network(images)
        return Outcome(F.cross_entropy(scores, labels), scores)

    def classify(images: Tensor, indices: Tensor) -> Tensor:
        return network(images)

    def train() -> float:
        told.clear()
        CaseContext(case, "a", None, place).fit(
            network, objective, ANN_RECIPE, classify, TRAINING_COST
        )
        return sum(told) + len(data.test)

    with pytest.raises(KeyboardInterrupt):
        train()
    stop_after = 0
    assert train() == pytest.approx(image_steps(case, data))  # goes on after epoch 1, all told
    assert len(told) < 12
    assert image_steps(case, data) == 120 + 3 * (TRAINING_COST * 120 + 120)


def test_the_time_of_an_interrupted_training_is_all_of_it() -> None:
    """The history goes on with the checkpoint; the clock sees the last run alone."""
    clock = _Clock()
    clock.lap("train", [Epoch(1, 1e-3, 0.5, 0.8, None, 20.0), Epoch(2, 1e-3, 0.4, 0.9, None, 41.7)])
    clock.lap("sweep")
    assert clock.laps["train"] == 41.7
    assert clock.laps["sweep"] < 10.0
