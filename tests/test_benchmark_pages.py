"""What docs/benchmarks.md says of all machines is what the page of each machine says."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
ROW = re.compile(
    r"^\| \[[^\]]*\]\((benchmarks/[\w-]+\.md)\)[^|]*\|([^|]*)\|([^|]*)\|$", re.MULTILINE
)
GOAL = re.compile(r"^\| ([^|]+) \| ([≥≤]) ([\d.]+) \| ([\d.]+) \| (met|not met|no goal[^|]*) \|$")
BITS = (24, 16, 8)


def goals(page: str) -> list[tuple[str, str, float, float, str]]:
    """(goal, ≥ or ≤, bound, measured, verdict) of every row of a page's goals."""
    found = map(GOAL.match, (DOCS / page).read_text("utf-8").splitlines())
    rows = [match.groups() for match in found if match]
    return [(name, sign, float(bound), float(got), word) for name, sign, bound, got, word in rows]


ROWS = ROW.findall((DOCS / "benchmarks.md").read_text("utf-8"))


@pytest.mark.parametrize(("page", "sweeps", "peer"), ROWS)
def test_the_overview_has_the_numbers_of_the_pages(page: str, sweeps: str, peer: str) -> None:
    measured = {name: got for name, _, _, got, _ in goals(page)}
    kinds = ["vgg9"] + ["vgg9, best batches"] * ("(" in sweeps)
    said = [re.findall(r"[\d.]+|–", part) for part in re.split(r"[()]", sweeps) if part.strip()]
    against = re.findall(r"[\d.]+", peer)
    assert len(said) == len(against) == len(kinds)
    for kind, numbers, best in zip(kinds, said, against, strict=True):
        sweep = [measured.get(f"{kind}: int{n} sweep, × the ANN at its fastest") for n in BITS]
        assert numbers == ["–" if value is None else f"{value:.1f}" for value in sweep]
        ours = f"{kind}: fastest sweep, × SpikingJelly"
        assert best == f"{min(v for name, v in measured.items() if name.startswith(ours)):.1f}"


@pytest.mark.parametrize("page", [page for page, _, _ in ROWS])
def test_a_goal_that_is_missed_is_said_to_be(page: str) -> None:
    rows = goals(page)
    assert len(rows) > 15
    for name, sign, bound, got, word in rows:
        if not word.startswith("no goal"):
            met = got >= bound if sign == "≥" else got <= bound
            assert word == ("met" if met else "not met"), name
