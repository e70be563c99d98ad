"""What `isospike list` and docs/reference.md say is whole and current."""

import re
from pathlib import Path

import pytest

from compare import catalogue, setting_words
from compare.data import AUGMENTATIONS
from compare.reference_page import PAGE, page
from compare.study import QUANTISED_ANN, Study
from compare.study_tables import AnnTraining, Frames, PaperRow, Variant
from tests.test_compare import isospike


@pytest.mark.parametrize("kind", catalogue.KINDS)
def test_every_kind_is_listed_with_one_line_each(kind: str, tmp_path: Path) -> None:
    entries = catalogue.entries(kind)
    assert entries
    for name, line in entries.items():
        assert line.strip(), name
        assert "\n" not in line


METHODS = [
    *(name for kind in catalogue.METHOD_KINDS for name in catalogue.entries(kind)),
    QUANTISED_ANN,
]


@pytest.mark.parametrize("method", METHODS)
def test_every_option_of_a_method_is_explained(method: str) -> None:
    assert catalogue.has_options(method)
    for _, meaning in catalogue.lines(method):
        assert meaning.strip()
        assert "\n" not in meaning


def test_every_key_of_a_study_is_explained() -> None:
    for words, keys in (
        (setting_words.STUDY, [*Study.model_fields, "base"]),
        (setting_words.TRAINING, AnnTraining.model_fields),
        (setting_words.VARIANT, Variant.model_fields),
        (setting_words.FRAMES, Frames.model_fields),
        (setting_words.PAPER, PaperRow.model_fields),
    ):
        assert list(words) == list(keys)


def test_every_augmentation_is_named() -> None:
    named = re.split(r"[ ,;]+", setting_words.STUDY["augmentation"])
    assert set(AUGMENTATIONS.names()) <= set(named)


def test_the_reference_is_current() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `make reference`"


def test_list_tells_the_options_of_a_method(tmp_path: Path) -> None:
    lines = isospike("list", "lee2016", cwd=tmp_path).stdout.splitlines()
    assert lines[3].startswith("alpha = 3.0  first thresholds")
    assert isospike("list", "data-norm", cwd=tmp_path).stdout == "none  data-norm has no options\n"
    refused = isospike("list", "nothing", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.endswith("or the name of a method, for its options\n")


def test_the_catalogue_is_current() -> None:
    """Rewrite it with `make catalogue` after registering something."""
    collected = catalogue.collect()
    for kind, entries in collected.items():
        assert catalogue.entries(kind) == entries, kind
    for method, options in catalogue.collect_options().items():
        assert catalogue.options(method) == options, method


def test_list_without_a_kind_names_the_kinds(tmp_path: Path) -> None:
    lines = isospike("list", cwd=tmp_path).stdout.splitlines()
    kinds = {line.split("  ")[0]: line.split("  ")[1].split(", ") for line in lines}
    assert list(kinds) == list(catalogue.KINDS)
    assert kinds["neurons"] == ["if", "lif", "lif-iterative", "lif-event"]
