"""The benchmarks' clockwork and page, on numbers worked out by hand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import workloads
from benchmarks.agreement import largest_of, rows_of
from benchmarks.batches import best_batches
from benchmarks.epoch import layers_alone
from benchmarks.held import compare
from benchmarks.measure import Timing, interleave
from benchmarks.memory import loads_torch
from benchmarks.page import goal_table, sweep_goals, timing_table, training_goals
from benchmarks.peers import peers
from benchmarks.profiled import shares
from benchmarks.sections import Stopwatch
from benchmarks.workloads import Call, Workload, accumulates, rule_calls
from network.activity import count_activity
from network.fused import on_cpu
from network.neurons import Neuron
from network.unroll import unroll
from tests.compiled import needs_compiler
from tests.fixed_point import converted
from tests.small_networks import images

ROOT = Path(__file__).parent.parent


def timing(*seconds: float) -> Timing:
    return Timing(seconds)


def test_median_and_spread() -> None:
    # sorted 1, 2, 4: median 2, spread (4 − 1)/2
    assert timing(4.0, 1.0, 2.0).median == 2.0
    assert timing(4.0, 1.0, 2.0).spread == 1.5


def test_rounds_are_interleaved_and_the_first_is_not_counted() -> None:
    order: list[str] = []
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    found = interleave(calls, rounds=2, clock="cpu", tell=lambda line: None)
    assert order == ["a", "b"] * 3
    assert [len(t.seconds) for t in found.values()] == [2, 2]


def test_goals_of_sweeps() -> None:
    ann = {"ANN, float32": timing(2.0), "ANN, bfloat16": timing(1.0)}
    ours = {"float32": 20.0, "bfloat16": 16.0, "int24": 10.0, "int16": 8.0, "int8": 4.0}
    sweeps = {f"isospike, {name}": timing(seconds) for name, seconds in ours.items()}
    others = {"other": timing(10.0), "another (its default)": timing(30.0)}
    goals = sweep_goals(ann, {**sweeps, **others}, timesteps=10, matrix_units=False)
    # 10 steps of the ANN take 10 s at its fastest: int24 10/10, int16 10/8, int8 10/4;
    # float32 20/20, bfloat16 10/16; the other library takes 10 s where int8 takes 4
    assert [goal.value for goal in goals] == [1.0, 1.25, 2.5, 1.0, 0.625, 2.5, 7.5]
    assert [goal.met for goal in goals] == [False, False, True, True, False, False, True]
    assert [goal.applies for goal in goals] == [True, True, True, True, False, True, True]
    table = goal_table(goals)
    assert "| int8 sweep, × the ANN at its fastest | ≥ 2.5 | 2.50 | met |" in table
    assert "| ≥ 1.2 | 0.62 | no goal here: no matrix units |" in table
    # with matrix units the ANN is faster, and a peer's default is to be beaten eight times
    goals = sweep_goals(ann, {**sweeps, **others}, timesteps=10, matrix_units=True)
    assert [goal.bound for goal in goals] == [1.2, 1.2, 2.0, 0.95, 1.2, 4.0, 8.0]
    assert all(goal.applies for goal in goals)
    # a machine on which nothing is timed in bfloat16
    del ann["ANN, bfloat16"], sweeps["isospike, bfloat16"]
    goals = sweep_goals(ann, {**sweeps, **others}, timesteps=10, matrix_units=False)
    assert [goal.value for goal in goals] == [2.0, 2.5, 5.0, 1.0, 2.5, 7.5]


def test_goals_of_training() -> None:
    timings = {
        "ANN, float32": timing(1.0),
        "isospike bptt, float32": timing(8.4),
        "x": timing(21.0),
    }
    # 8.4 s against 8 steps of 1 s; 21 s against 8.4 s
    for units in (True, False):
        goals = training_goals(timings, 8, matrix_units=units)
        assert [goal.value for goal in goals] == pytest.approx([1.05, 2.5])
        assert [goal.applies for goal in goals] == [True, units]


def test_timing_table_gives_rates() -> None:
    assert "| a | 2.000 | 0% | 5.0 |" in timing_table({"a": timing(2.0, 2.0)}, 10, "images/s")


def test_agreement_counts_what_only_one_gets_right() -> None:
    right = {
        "float32": torch.tensor([[True, True, False, False]]),
        "int16": torch.tensor([[True, False, True, True]]),
        "int8": torch.tensor([[True, True, False, False]]),
    }
    (row,) = rows_of(right)
    assert (row["float32"], row["int16"], row["int8"]) == (0.5, 0.75, 0.5)
    assert (row["int16_only"], row["int16_not"]) == (2, 1)
    # exact, two-sided: 3 discordant images, 2 against 1 is no more extreme than any split
    assert row["int16_p"] == 1.0
    assert row["int8_p"] == 1.0
    later = row | {"timestep": 2, "int8": 0.4}
    assert largest_of([{"method": "a"} | row, {"method": "a"} | later]) == [
        {"method": "a", "arithmetic": "int16", "points": 25.0, "timestep": 1},
        {"method": "a", "arithmetic": "int8", "points": 10.0, "timestep": 2},
    ]


def test_peers_take_only_chains() -> None:
    inner = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    assert peers(nn.Sequential(nn.Linear(2, 2), inner), threshold=1.0) == {}
    assert peers(nn.Linear(2, 2), threshold=1.0) == {}


def test_layers_alone_are_those_with_weights() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)
    )
    steps = layers_alone(network, torch.rand(2, 3, 4, 4))
    assert len(steps) == 2
    for step in steps:
        step()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == name.startswith(("0", "4")), name


def test_every_rule_gives_gradients() -> None:
    for name, call in rule_calls(Workload("lenet", 0.25, 16, 2, 2)).items():
        assert call() is None, name


def test_memory_of_a_call() -> None:
    # 16 million float32 numbers are 64 MB; a process that has run other tests may have them free
    text = "import torch; from benchmarks.memory import measured\n"
    text += "print(measured(lambda: torch.ones(16_000_000)))"
    command = [sys.executable, "-c", text]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) > 60


def test_the_help_page_loads_no_torch() -> None:
    assert not loads_torch(["-m", "compare", "--help"])


def test_potentials_that_are_held_beside_those_that_are_not() -> None:
    snn = converted("plain")
    name, second = list(snn.neurons().items())[1]
    second.shift = -20.0 * second.theta
    rows = {row["layer"]: row for row in compare(snn, images(2), 200)}
    assert len(rows) == 3
    assert all(row["differ"] == 0 and row["spikes"] == row["of_64_bits"] for row in rows.values())
    first = next(iter(rows.values()))
    assert first["spikes"] > 0
    assert rows[name]["spikes"] == 0
    assert rows[name]["held"] == 2 * 8 * 4 * 4  # −20 θ a step: every potential of both images


def test_where_the_time_goes_is_said_by_layer() -> None:
    needs_compiler()
    command = [sys.executable, "-m", "benchmarks.where", "--architecture", "lenet", "--batch", "2"]
    done = subprocess.run(
        [*command, "--timesteps", "2"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    parts = {line.split("  ")[0]: float(line.split(" us ")[0].split()[-1])
             for line in done.stdout.splitlines()}  # fmt: skip
    assert {"conv1_relu", "conv2_relu", "dense1_relu", "pooling", "output", "the rest"} < set(parts)
    assert parts["conv2_relu"] > 0


@dataclass(frozen=True)
class ByBatch(Stopwatch):
    """Seconds that a call is said to take, by its name and batch; a call hands out its batch."""

    def time(self, calls: Mapping[str, Call], what: str) -> dict[str, Timing]:
        def seconds(name: str, batch: int) -> float:  # 16 is best for the ANN, 64 for the sweeps
            return batch * (abs(batch - 16) + 2) if name.startswith("ANN") else batch * (70 - batch)

        del what
        return {
            name: timing(*(self.rounds * [float(seconds(name, call()))]))
            for name, call in calls.items()
        }


def test_everything_runs_in_the_batch_that_suits_it_best(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("ANN, float32", "ANN, bfloat16", *(
        f"isospike, {kind}" for kind in ("float32", "bfloat16", "int24", "int16", "int8")
    ))  # fmt: skip
    monkeypatch.setattr(
        "benchmarks.batches.every_sweep",
        lambda work, batch: {name: lambda: batch for name in names},
    )
    work = Workload("lenet", 1.0, 32, 32, 8)
    section = best_batches(work, ByBatch(3, "wall"))
    assert "| ANN, float32, batches of 16 | 128.000 | 0% | 0.5 |" in section.text  # 64 · 2
    assert "| isospike, int8, batches of 64 | 384.000 | 0% | 1.3 |" in section.text  # 64 · 6
    whole = next(goal for goal in section.goals if "int24" in goal.text)
    assert whole.value == pytest.approx(128 * 8 / 384)


def test_accumulates_are_those_of_the_float32_sweep() -> None:
    work = Workload("plain3", 0.125, 8, 2, 6)
    spiking = workloads.converted(work)
    counter = count_activity(spiking, (3, 8, 8), 6)
    with torch.no_grad():
        unroll(spiking, work.images(), 6, taps=[counter])
    expected = sum(float(counts.sum()) for counts in counter.accumulates.values())
    assert expected > 0
    assert accumulates(work, 24) == pytest.approx(expected, rel=0.01)


def test_a_profile_shares_out_the_whole_time() -> None:
    conv = nn.Conv2d(3, 8, 3, padding=1)
    x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    neuron = Neuron(theta=0.5)

    def call() -> object:
        with torch.no_grad():
            return neuron.advance(torch.relu(conv(x)).unsqueeze(0), None)

    found, milliseconds = shares(call)
    assert milliseconds > 0
    assert sum(found.values()) == pytest.approx(1.0)
    assert found["convolutions"] > 0
    assert found["ReLUs"] > 0
    assert found["batch norm"] == 0
    assert (found["neurons"] > 0) == (on_cpu.kernel() is not None)
