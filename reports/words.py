"""Sentences that several tables and figures say of the same numbers, and how names are listed."""

from collections.abc import Sequence

BEST_OF_SWEEP = (
    "Unlike Lee 2020, the direct network is read at the T of its best accuracy in the sweep, not "
    "at the T it was trained for."
)

ISO = "at the direct network's best accuracy"
OWN_BEST = "each at its own best"
STEPS_RATIO = "Steps of conversion / steps of direct"
SPIKES_RATIO = "Spikes of conversion / spikes of direct"

LARGEST_T = (
    "Conversions at the largest T of the sweep, which is the study's choice and not what they "
    "need; for the energy at equal accuracy see the sentences at the top."
)


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
