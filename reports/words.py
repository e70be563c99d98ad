"""Sentences that several tables and figures say of the same numbers, and how names are listed."""

from collections.abc import Sequence

BEST_OF_SWEEP = (
    "The direct network: of several, the most accurate at the T it was trained for. Unlike Lee "
    "2020, it is read at the T of its best accuracy in the sweep, not at its training T."
)

ISO = "at the direct network's best accuracy"
OWN_BEST = "each at its own best"
STEPS_RATIO = "Steps of conversion / steps of direct"
SPIKES_RATIO = "Spikes of conversion / spikes of direct"

LARGEST_T = (
    "Conversions at the largest T of the sweep, which is the study's choice and not what they "
    "need; what they cost at equal accuracy stands in the answer of the report."
)


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def lowered(title: str) -> str:
    """A title within a sentence: its first letter small, but for a sign such as `T*`."""
    return title if title[1:2] in ("*", "") else title[0].lower() + title[1:]
