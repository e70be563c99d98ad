"""The registry: what it holds, what it refuses, what it says."""

from dataclasses import dataclass

import pytest

from network.registry import Registry, UnknownName


@pytest.fixture
def fruits() -> Registry[int]:
    registry: Registry[int] = Registry("fruit")
    registry.register("pear")(3)
    registry.register("apple")(5)
    return registry


def test_decorator_returns_its_argument_and_stores_it() -> None:
    rules: Registry[object] = Registry("rule")

    @rules.register("first")
    def first() -> int:
        return 7

    assert first() == 7
    assert rules.get("first") is first


def test_names_keep_the_order_of_registration(fruits: Registry[int]) -> None:
    assert fruits.names() == ["pear", "apple"]
    assert list(fruits) == ["pear", "apple"]
    assert "pear" in fruits
    assert "plum" not in fruits


def test_duplicate_is_refused_and_changes_nothing(fruits: Registry[int]) -> None:
    with pytest.raises(ValueError, match="fruit 'pear' is already registered"):
        fruits.register("pear")(9)
    assert fruits.get("pear") == 3


def test_unknown_name_says_the_nearest_and_the_known(fruits: Registry[int]) -> None:
    with pytest.raises(UnknownName) as caught:
        fruits.get("appel")
    assert str(caught.value) == ("unknown fruit 'appel'; did you mean 'apple'? known: pear, apple")


def test_unknown_name_without_a_near_one(fruits: Registry[int]) -> None:
    with pytest.raises(UnknownName) as caught:
        fruits.get("zzz")
    assert str(caught.value) == "unknown fruit 'zzz'; known: pear, apple"


def test_empty_registry_says_none() -> None:
    with pytest.raises(UnknownName, match="known: none"):
        Registry[int]("figure").get("line")


@dataclass(frozen=True)
class Tree:
    name: str


def test_an_entry_is_stored_under_its_own_name() -> None:
    trees: Registry[Tree] = Registry("tree")
    trees.add(Tree("oak"))
    assert trees.get("oak") == Tree("oak")
    with pytest.raises(ValueError, match="tree 'oak' is already registered"):
        trees.add(Tree("oak"))
