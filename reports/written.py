"""Whether the files that a report reads are the ones that their cases wrote.

compare.store refuses such a case for good; a report names it and goes on, with records alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np

from reports.frame import Case, Study

READ = (".csv", ".npz")  # what of a case a report reads beside case.json: no weights, no log
COMPARED = ("timestep", "images", "correct")  # columns that records.csv and sweep.csv share
SHOWN = 3


def changed(study: Study) -> tuple[str, ...]:
    """Files of a study that are not what was written, as paths in its directory.

    Of a case by the checksums in its case.json, where that has them; of records.csv by what the
    cases' own sweeps say. Files that are gone are not meant: a report does without them.
    """
    found = [file for case in study.cases.values() for file in _of(case)]
    if any(_differs(study, case) for case in study.cases.values()):
        found.append("records.csv")
    return tuple(found)


def in_words(files: Sequence[str]) -> str:
    """One sentence on changed files, nothing where there are none."""
    if not files:
        return ""
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    return f"Not what was written: {', '.join(files[:SHOWN])}{more}."


def _of(case: Case) -> Iterator[str]:
    place = f"cases/{case.name}"
    facts = dict(case.facts)
    own = facts.pop("checksum", None)
    text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    if own is not None and own != hashlib.sha256(text.encode()).hexdigest():
        yield f"{place}/case.json"
    checksums = facts.get("checksums")
    for name, expected in checksums.items() if isinstance(checksums, dict) else ():
        file = case.directory / str(name)
        if file.suffix in READ and file.is_file():
            with file.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            if found != expected:
                yield f"{place}/{name}"


def _differs(study: Study, case: Case) -> bool:
    """Whether records.csv says other answers of a case than its own sweep.csv does."""
    sweep = case.table("sweep.csv")
    if sweep is None or not set(COMPARED) <= set(sweep.columns):
        return False
    rows = study.records[study.records["case"] == case.name]
    said, own = (t.sort_values("timestep")[list(COMPARED)].to_numpy() for t in (rows, sweep))
    return not np.array_equal(said, own)
