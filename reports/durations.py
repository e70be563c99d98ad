"""How long the stages of a case took, of what was interrupted all of it."""

from __future__ import annotations

from reports.frame import Case


def training(case: Case) -> float | None:
    """Seconds of a case's training, None without one.

    What the case says, or the last epoch of its history where that is more: cases of old say only
    how long the last part of an interrupted training took, their histories have all of it.
    """
    said = _elapsed(case).get("train")
    if said is None:
        return None
    history = case.table("history.csv")
    if history is None or "elapsed_s" not in history:
        return said
    return max([said, *history["elapsed_s"].dropna().tail(1)])


def making(case: Case) -> float | None:
    """Seconds of the case's own training and conversion; sweeps measure, they do not make."""
    elapsed = _elapsed(case)
    stages = [training(case), elapsed.get("convert")]
    known = [seconds for seconds in stages if seconds is not None]
    return sum(known) if known else None


def whole(case: Case) -> float:
    """Seconds of all that was done for a case; 0 where it does not say."""
    elapsed = _elapsed(case)
    said = elapsed.get("total", sum(elapsed.values()))
    return said + (training(case) or 0.0) - elapsed.get("train", 0.0)


def _elapsed(case: Case) -> dict[str, float]:
    found = case.facts.get("elapsed_s") or {}
    return {stage: float(seconds) for stage, seconds in found.items() if seconds is not None}
