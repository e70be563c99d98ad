"""Methods are told apart by readers of any colour vision, and in black and white."""

import colorsys
from collections.abc import Mapping
from itertools import combinations
from math import atan2, degrees

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from conversion import CONVERSIONS
from direct import PRESETS, RULES
from reports.style import COOL, METHODS, SOLID, WARM, Look, look

# Machado 2009, table 1, severity 1.0, on linear RGB.
VISION = {
    "all": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
    "none": np.tile([0.2126, 0.7152, 0.0722], (3, 1)),  # black and white: luminance alone
}
TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)  # sRGB, D65
TOLD_APART = 10.0  # ΔE of CIE 1976; 2.3 is just noticeable side by side


def linear(colour: str) -> np.ndarray:
    values = np.array(to_rgb(colour))
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear RGB."""
    ratios = TO_XYZ @ np.clip(rgb, 0, 1) / (TO_XYZ @ np.ones(3))
    f = np.where(ratios > 0.008856, np.cbrt(ratios), 7.787 * ratios + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(one: str, other: str, vision: str) -> float:
    matrix = VISION[vision]
    return float(np.linalg.norm(lab(matrix @ linear(one)) - lab(matrix @ linear(other))))


def shape(drawn: Look) -> tuple[object, ...]:
    return drawn.marker, drawn.hollow, drawn.dash


def alike(looks: Mapping[str, Look], vision: str) -> list[tuple[str, str]]:
    """Pairs with one shape whose colours this vision does not tell apart."""
    return [
        (one, other)
        for one, other in combinations(looks, 2)
        if shape(looks[one]) == shape(looks[other])
        and distance(looks[one].colour, looks[other].colour, vision) < TOLD_APART
    ]


def test_the_distances_are_those_of_known_colours() -> None:
    # black and white: L* 0 and 100; red and green of sRGB: ΔE 170.6 (Lindbloom's calculator)
    assert distance("#000000", "#ffffff", "all") == pytest.approx(100, abs=0.1)
    assert distance("#ff0000", "#00ff00", "all") == pytest.approx(170.6, abs=0.5)
    # a red and a green of one lightness are near for deuteranopes, as blue and yellow are not
    assert distance("#a04040", "#6a6a10", "deuteranopia") < 25
    assert distance("#0000ff", "#ffff00", "deuteranopia") > 100


@pytest.mark.parametrize("vision", VISION)
def test_no_two_methods_look_alike(vision: str) -> None:
    assert alike(METHODS, vision) == []


@pytest.mark.parametrize("vision", VISION)
def test_settings_of_one_method_are_told_apart(vision: str) -> None:
    settings = {f"bptt {variant}": look("bptt", "direct", variant) for variant in range(4)}
    assert alike(settings, vision) == []


@pytest.mark.parametrize("vision", VISION)
def test_every_line_stands_out_from_white_paper(vision: str) -> None:
    faint = {name: drawn.colour for name, drawn in METHODS.items()
             if distance(drawn.colour, "#ffffff", vision) < 25}  # fmt: skip
    assert faint == {}


def test_two_lines_that_look_alike_are_found() -> None:
    same = {
        "a": Look("#AA4499", "o", METHODS["ann"].dash),
        "b": Look("#AA4498", "o", METHODS["ann"].dash),
    }
    assert alike(same, "all") == [("a", "b")]


def hue(colour: str) -> float:
    """Hue in the plane of a* and b*, in degrees: 0 is red, 90 yellow, 180 green, 270 blue."""
    _, a, b = lab(linear(colour))
    return degrees(atan2(b, a)) % 360


def warm(colour: str) -> bool:
    return hue(colour) < 95 or hue(colour) > 345


OURS = dict.fromkeys(CONVERSIONS, False) | dict.fromkeys([*RULES, *PRESETS], True)


@pytest.mark.parametrize("name", OURS)
def test_direct_training_is_warm_solid_and_hollow_and_conversion_is_not(name: str) -> None:
    """Every way of ours has a look of its own; a user's and other settings follow the rule."""
    direct = OURS[name]
    arm = "direct" if direct else "converted"
    assert look(name, arm) == METHODS[name]
    for drawn in (*(look(name, arm, variant) for variant in range(5)), look(f"my-{name}", arm)):
        assert (warm(drawn.colour), drawn.dash == SOLID, drawn.hollow) == (direct,) * 3


def test_no_colour_is_used_twice() -> None:
    own = [drawn.colour for drawn in METHODS.values()]
    assert len({*own, *COOL, *WARM}) == len(own) + len(COOL) + len(WARM)
    near = [
        (one, other)
        for one, other in combinations(METHODS, 2)
        if distance(METHODS[one].colour, METHODS[other].colour, "all") < TOLD_APART
    ]
    assert near == []


def luminance(colour: str) -> float:
    return colorsys.rgb_to_hls(*to_rgb(colour))[1]


def test_looks_differ_in_more_than_colour() -> None:
    looks = {n: drawn for n, drawn in METHODS.items() if drawn.marker != "None"}
    for (one, first), (two, second) in combinations(looks.items(), 2):
        without_colour = (first.marker, first.dash, first.hollow)
        assert without_colour != (second.marker, second.dash, second.hollow), (one, two)
    for name, drawn in looks.items():
        assert luminance(drawn.colour) < 0.75, name  # dark enough on white
        assert drawn.hollow == (name in {
            "bptt", "tune-width", "tet", "tdbn", "spike-bp", "membrane-bp", "hybrid", "diet",
            "rate-bp", "lee2016", "lee2020", "ledinauskas2020", "zheng2021"})  # fmt: skip


def test_looks_of_the_users_methods_and_of_variants() -> None:
    own = look("my-norm", "converted")
    assert own == look("my-norm", "converted")
    assert not own.hollow
    assert look("my-rule", "direct").hollow
    plain, variant = look("bptt", "direct"), look("bptt", "direct", 1)
    assert colorsys.rgb_to_hls(*to_rgb(variant.colour))[0] == pytest.approx(
        colorsys.rgb_to_hls(*to_rgb(plain.colour))[0], abs=0.01
    )
    assert luminance(variant.colour) < luminance(plain.colour)
    assert variant.marker != plain.marker
    assert variant.dash == plain.dash == SOLID
