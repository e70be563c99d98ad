"""Named entries of one kind, filled by decorators where the entries are defined."""

from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Named(Protocol):
    """An entry that knows its own name."""

    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=Named)


class UnknownName(ValueError):
    """A name that the registry does not hold; the message lists the names it does."""


def nearest(name: str, known: Iterable[str]) -> str:
    """For an error: "did you mean 'NAME'? " with the nearest known name, or nothing."""
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}? " if near else ""


class Registry(Generic[T]):
    """A table from name to entry; `kind` is the word its messages use."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that stores its argument under `name`; a name taken raises ValueError."""

        def store(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is already registered")
            self._entries[name] = entry
            return entry

        return store

    def add(self: "Registry[N]", entry: N) -> None:
        """Store an entry under its own name; a name taken raises ValueError."""
        self.register(entry.name)(entry)

    def get(self, name: str) -> T:
        """The entry of that name; raises UnknownName with the nearest name and all known ones."""
        if name in self._entries:
            return self._entries[name]
        hint = nearest(name, self._entries)
        known = ", ".join(self.names()) or "none"
        raise UnknownName(f"unknown {self.kind} {name!r}; {hint}known: {known}")

    def names(self) -> list[str]:
        """The names in the order of registration."""
        return list(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)
