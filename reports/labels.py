"""Names of curves: the method, and whatever tells it from others of that method."""

from __future__ import annotations

import pandas as pd

from reports.frame import Case, Study
from reports.settings import in_words

VARIANT_KEYS = ("batch_norm", "readout", "dropout", "augmentation", "calibration_images")
"""Settings outside of a method's own options that may tell two of its cases apart."""


def label_of(facts: dict[str, object], siblings: list[dict[str, object]]) -> str:
    """The method's name, with whatever tells it from the others of its name in the network."""
    names = {"ann": "ANN", "qcfs-ann": "ANN (qcfs)"}
    label = names.get(str(facts["method"]), str(facts["method"]))
    notes = []
    for key, prefix in (("train_timesteps", "T="), ("encoding", ""), ("variant", "")):
        values = {str(other[key]) for other in siblings}
        if len(values) > 1 and facts[key] is not None and str(facts[key]) not in ("", "<NA>"):
            notes.append(f"{prefix}{facts[key]}")
    return f"{label} ({', '.join(notes)})" if notes else label


def variants(study: Study) -> dict[str, str]:
    """Per case, the options in which the cases of one method on one network differ."""
    families: dict[tuple[str, ...], list[Case]] = {}
    for case in study.cases.values():
        facts = case.specification
        key = tuple(str(facts.get(k)) for k in ("dataset", "architecture", "method", "encoding"))
        families.setdefault(key, []).append(case)
    result: dict[str, str] = {}
    for members in families.values():
        settings = {case.name: _settings(case) for case in members}
        keys = sorted({key for values in settings.values() for key in values})
        varying = [k for k in keys if len({values.get(k) for values in settings.values()}) > 1]
        for name, values in settings.items():
            result[name] = ", ".join(f"{k}={values[k]}" for k in varying if k in values)
    return result


def study_marks(records: pd.DataFrame, keys: list[str]) -> pd.Series:
    """The study's name for methods that several studies ran with the same seeds, else nothing."""
    twice = records.duplicated(keys, keep=False)
    methods = ["dataset", "architecture", "method"]
    marked = (
        records[methods]
        .apply(tuple, axis=1)
        .isin(set(records.loc[twice, methods].itertuples(index=False, name=None)))
    )
    names = records["study"].where(marked, "")
    return names.where((records["variant"] == "") | (names == ""), ", " + names)


def _settings(case: Case) -> dict[str, str]:
    facts = case.specification
    chosen = {key: facts[key] for key in VARIANT_KEYS if facts.get(key) is not None}
    chosen.update(facts.get("training") or {})
    chosen.update(facts.get("options") or {})
    return in_words(chosen)
