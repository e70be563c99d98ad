"""Study files of any content: each is a study or one clear line, and nothing in it is evaluated."""

import string
import tomllib
from importlib import resources
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from compare.cases import expand
from compare.changes import changed
from compare.method_facts import method_facts
from compare.study import STUDIES, Study, builtin_studies, parse_study
from compare.toml_text import to_toml
from tests.stress.conftest import Tally, check_line, fuzz, mostly

KEYS = [*sorted(Study.model_fields), "base", "methds", "__class__"]
NAMES = st.sampled_from(
    ["mnist-5k", "cifar10", "lenet", "vgg9", "mlp-3", "mlp-", "mlp-0", "mlp-9999999999", "bptt",
     "robust-norm", "hybrid", "spike-norm", "steep", "folder:", "npz:/x", "a.py:f", ":", "", "θ",
     "__import__('os').system('false')", "{{7*7}}", "${HOME}", "<script>", "../..", "\u202e"]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 4), st.integers(), st.floats(), NAMES,
    st.text(max_size=8), st.sampled_from(["auto", "int16", "poisson", "one-cycle", "first-look"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(st.sampled_from([*KEYS, "epochs", "method", "options", "gamma"]), NAMES),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)


def builtin_texts() -> list[str]:
    """Every built-in study as it was written."""
    folder = resources.files(STUDIES)
    return [folder.joinpath(f"{name}.toml").read_text("utf-8") for name in builtin_studies()]


def builtin_values() -> dict[str, list[Any]]:
    """For every key, what the built-in studies have for it."""
    found: dict[str, list[Any]] = {}
    for text in builtin_texts():
        for key, value in tomllib.loads(text).items():
            found.setdefault(key, []).append(value)
    return found


BUILTIN_VALUES = builtin_values()


@st.composite
def contents(draw: st.DrawFn) -> dict[str, Any]:
    """Any keys with any values, or, mostly, with values that built-in studies have for them."""
    keys = draw(st.lists(mostly(sorted(BUILTIN_VALUES), KEYS), max_size=4, unique=True))
    return {
        key: draw(
            st.sampled_from(BUILTIN_VALUES[key])
            if key in BUILTIN_VALUES and draw(st.integers(0, 5))
            else VALUES
        )
        for key in keys
    }


def as_toml(value: Any) -> str:
    """Any value as TOML, which has no null."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_toml(k)} = {as_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(as_toml(entry) for entry in value) + "]"
    if isinstance(value, str):
        escaped = "".join(
            c if c in string.ascii_letters + string.digits + " .:/-" else f"\\U{ord(c):08x}"
            for c in value
        )
        return f'"{escaped}"'
    return "1" if value is None else str(value)


def study_or_one_line(text: str, tally: Tally) -> Study | None:
    """The study; None where it was refused in one line."""
    tally("study files fuzzed")
    try:
        study = parse_study(text, "mine", where="study file mine.toml")
    except ValueError as error:
        check_line(error)
        return None
    tally("study files fuzzed, used")
    return study


def test_any_text(tally: Tally) -> None:
    @fuzz(60, 2500)
    @given(st.one_of(st.text(), st.text(alphabet="[]{}=\"'.,#\n\\ambethods01-\t")))
    def check(text: str) -> None:
        study_or_one_line(text, tally)

    check()


def test_builtin_studies_with_a_piece_changed(tally: Tally) -> None:
    texts = builtin_texts()

    @fuzz(30, 1000)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        text = data.draw(st.sampled_from(texts))
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 12))
        study_or_one_line(text[:at] + data.draw(st.text(max_size=3)) + text[at + cut :], tally)

    check()


def test_any_values_of_any_keys(tally: Tally) -> None:
    """What is accepted survives the way to study.toml and back, and has cases or says why not."""
    facts = method_facts(["bptt", "robust-norm", "hybrid", "spike-norm"])

    @fuzz(120, 3500)
    @given(contents())
    def check(content: dict[str, Any]) -> None:
        text = "\n".join(f"{key} = {as_toml(value)}" for key, value in content.items())
        study = study_or_one_line(text, tally)
        if study is None:
            return
        assert parse_study(to_toml(study), "mine", where="again") == study
        if {study.base_method(m) for m in study.every("methods")} <= set(facts):
            few = study.model_copy(update={"seeds": study.seeds[:3]})
            try:
                cases = expand(few, facts, sweep_precision="int16")
            except ValueError as error:
                check_line(error)
                return
            names = [case.identity("0") for case in cases]
            assert len(set(names)) == len(names)
            assert all("/" not in name and not name.startswith(".") for name in names)

    check()


def test_changes_from_the_command_line(tally: Tally) -> None:
    plain = parse_study("", "mine", where="plain")
    parted = parse_study('parts = [{seeds = 1}, {datasets = ["cifar10"]}]', "mine", where="parts")

    @fuzz(60, 1000)
    @given(
        st.sampled_from([plain, parted]),
        st.dictionaries(
            st.sampled_from(
                ["datasets", "architectures", "methods", "seeds", "timesteps", "precision"]
            ),
            st.one_of(SCALARS.filter(lambda v: v is not None), st.lists(NAMES, max_size=2)),
            max_size=3,
        ),
    )
    def check(study: Study, given: dict[str, Any]) -> None:
        tally("study files fuzzed")
        lists = ("datasets", "architectures", "methods")
        given = {
            k: v if k not in lists or isinstance(v, list) else [str(v)] for k, v in given.items()
        }
        try:
            changed(study, given)
            tally("study files fuzzed, used")
        except ValueError as error:
            check_line(error)

    check()
