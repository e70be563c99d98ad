"""Contract of every option of every method: declared whole, and refused before anything runs."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from compare.options import check_unused, options_of_method, resolved
from compare.study import QUANTISED_ANN, StudyError, build_study
from conversion import CONVERSIONS, convert, quantise_activations
from direct import PRESETS, RULES, OptionError, prepare
from network.options import Option, Range, resolve

METHODS = [*CONVERSIONS, QUANTISED_ANN, *RULES, *PRESETS]
TABLES = {method: options_of_method(method) for method in METHODS}
OPTIONS = [(method, name) for method, table in TABLES.items() for name in table]

Given = dict[str, Any]


def just_outside(allowed: Range, whole: bool) -> Iterator[float]:
    """The nearest number beyond every bound, and what is no number."""
    for bound, towards in ((allowed.least, -math.inf), (allowed.most, math.inf)):
        if math.isfinite(bound):
            step = math.copysign(1, towards)
            yield int(bound + step) if whole else math.nextafter(bound, towards)
    for bound in (allowed.above, allowed.below):
        if math.isfinite(bound):
            yield int(bound) if whole else bound
    if not whole:
        yield from (math.nan, math.inf, -math.inf, 10**400)


def wrong(name: str, option: Option) -> Iterator[Given]:
    """Options of which `name` is one that is not taken."""
    yield {name: [option.default]}
    yield {name: 1 if isinstance(option.default, bool) else True}
    ranges = [] if option.range is None else [({}, option.range)]
    if option.ranges is not None:
        ranges += [({option.ranges[0]: value}, r) for value, r in option.ranges[1].items()]
    whole = isinstance(option.default, int)
    for beside, allowed in ranges:
        yield from ({**beside, name: value} for value in just_outside(allowed, whole))
    if option.choices is not None:
        yield from ({name: value} for value in ("nothing", "", *option.refused))


def other_value(option: Option) -> Any:
    """One that is allowed and not the default."""
    candidates = [2 * option.default, option.default / 2, 1.0]  # type: ignore[operator]
    allowed = option.range or Range(least=0.0, most=1.0)
    kind = type(option.default)
    return next(kind(x) for x in candidates if x != option.default and allowed.holds(x))


def refusal(method: str, given: Given) -> str:
    """What a study is told that gives these options to a method."""
    content = {"datasets": ["mnist-5k"], "architectures": ["lenet"], "methods": ["data-norm"]}
    study = build_study({"name": "s", **content, "options": {method: given}}, where="test")
    with pytest.raises(StudyError) as caught:
        check_unused(study)
    return str(caught.value)


def use(method: str, given: Given) -> None:
    """Give them to the call in Python, with nothing that could run."""
    nothing: Any = None
    if method == QUANTISED_ANN:
        quantise_activations(nothing, **given)
    elif method in CONVERSIONS:
        convert(nothing, [], method=method, options=given)
    else:
        none = torch.zeros(0)
        prepare(None, rule=method, timesteps=1, options=given, images=none, labels=none)


@pytest.mark.parametrize(("method", "name"), OPTIONS)
def test_an_option_says_what_it_means_and_may_be(method: str, name: str) -> None:
    option = TABLES[method][name]
    assert option.meaning.strip()
    assert "\n" not in option.meaning
    number = isinstance(option.default, int | float) and not isinstance(option.default, bool)
    assert number == (option.range is not None or option.ranges is not None)
    assert isinstance(option.default, str) == (option.choices is not None)
    for beside in (option.ranges, option.idle):
        assert beside is None or beside[0] in TABLES[method]


@pytest.mark.parametrize(("method", "name"), OPTIONS)
def test_what_an_option_does_not_take_is_refused_before_anything_runs(
    method: str, name: str
) -> None:
    for given in wrong(name, TABLES[method][name]):
        message = refusal(method, given)
        assert message.startswith(f"{method}: {name} "), given
        assert "\n" not in message
        if method not in PRESETS and name != "conversion":  # which a study puts in front of a rule
            with pytest.raises(OptionError) as caught:
                use(method, given)
            assert str(caught.value) == message


@pytest.mark.parametrize(
    ("method", "name"), [(m, n) for m, n in OPTIONS if TABLES[m][n].idle is not None]
)
def test_an_option_that_decides_nothing_is_refused(method: str, name: str) -> None:
    option = TABLES[method][name]
    assert option.idle is not None
    other, values = option.idle
    for value in values:
        message = refusal(method, {other: value, name: other_value(option)})
        assert message.startswith(f"{method}: {name} has no effect with {other} = {value!r}: leave")
        assert resolved(method, {other: value})[other] == value


@pytest.mark.parametrize("method", METHODS)
def test_what_is_resolved_is_taken_again(method: str) -> None:
    defaults = resolved(method, {})
    assert list(defaults) == list(TABLES[method])
    assert resolved(method, defaults) == defaults
    if method in PRESETS:
        rule = RULES.get(PRESETS.get(method).rule)
        assert resolve(rule.name, rule.options, defaults) == defaults


def test_a_whole_number_is_taken_for_a_float_and_no_other_type_for_another() -> None:
    found = resolved("bptt", {"gamma": 4})["gamma"]
    assert (found, type(found)) == (4.0, float)
    assert refusal("bptt", {"gamma": 10**400}).startswith(
        "bptt: gamma must be finite, above 0, got"
    )
    assert refusal("srp", {"steps": 4.0}) == "srp: steps must be of type int, got 4.0"


def test_a_name_that_is_nearly_one_is_asked_for() -> None:
    assert refusal("bptt", {"neuron": "lift"}) == (
        "bptt: neuron must be one of if, lif, lif-iterative, got 'lift'; did you mean 'lif'?"
    )
    assert refusal("srp", {"step": 4}) == (
        "srp has no option 'step'; did you mean 'steps'? known: steps"
    )


def test_a_range_beside_another_option_holds_for_the_default_too() -> None:
    assert refusal("bptt", {"neuron": "lif-iterative"}) == (
        "bptt: tau must be at least 0 and at most 1 with neuron = 'lif-iterative', got 2.0"
    )


def test_a_conversion_method_declares_what_its_function_takes() -> None:
    from conversion.method import method

    declare = method("own", summary="s", source="s", calibration_images=1)
    with pytest.raises(TypeError, match=r"own takes \['share'\], and its options are \[\]"):
        declare(lambda source, *, share: source)
    assert "own" not in CONVERSIONS
