"""A study as its author writes it: a TOML file, checked, with every default resolved.

Nothing here loads torch: names are checked against the catalogue.
"""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, ValidationInfo, field_validator

from compare import catalogue
from compare.study_tables import (
    AnnTraining,
    Encoding,
    Frames,
    PaperRow,
    Table,
    Training,
    TrainTimesteps,
    Variant,
)
from network.registry import nearest

QUANTISED_ANN = "qcfs-ann"  # the ANN that qcfs, srp and offset start from
ANNS = ("ann", QUANTISED_ANN)  # methods of cases that are ANNs
Arm = Literal["ann", "converted", "direct"]
Precision = Literal["auto", "float32", "bfloat16", "int24", "int16", "int8"]
STUDIES = "compare.studies"
WHOLE_NUMBERS = ("int24", "int16", "int8")  # precisions of sweeps alone
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
MOST_SEEDS = 10_000
OF_ITS_OWN = (
    "name", "title", "description", "source", "expected_minutes", "expected_minutes_h100", "paper",
)  # fmt: skip
"""What a study never takes from its base."""
OF_ARCHITECTURES = ("width", "batch_norm", "dropout")
"""What registered architectures are built with; networks of the user's own know nothing of it."""
PART_KEYS = frozenset(
    {
        "datasets", "architectures", "methods", "seeds", "timesteps", "train_timesteps",
        "encoding", "batch_norm", "width", "dropout", "augmentation", "calibration_images",
        "ann", "direct",
    }
)  # fmt: skip
"""What a part of a study may set otherwise than the study."""


class StudyError(ValueError):
    """A study that cannot be run as written: one line with what, what is allowed, what came."""


class Study(Table):
    """Everything that decides the results of a study."""

    name: str = Field(pattern=NAME, max_length=80)
    title: str = ""
    description: str = ""
    source: str = ""
    differences: tuple[str, ...] = ()
    expected_minutes: float | None = Field(default=None, gt=0)
    expected_minutes_h100: float | None = Field(default=None, gt=0)
    datasets: tuple[str, ...] = ("mnist-5k",)
    architectures: tuple[str, ...] = ("lenet",)
    methods: tuple[str, ...] = ("data-norm", "robust-norm", "spike-norm", "bptt")
    variants: dict[str, Variant] = Field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2)
    timesteps: int = Field(default=64, ge=1, le=100_000)
    train_timesteps: TrainTimesteps | None = None
    encoding: Encoding = "constant"
    events: dict[str, Frames] = Field(default_factory=dict)
    batch_norm: bool = True
    width: float = Field(default=1.0, gt=0, le=64)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    augmentation: str | None = None
    validation_images: int | None = Field(default=None, ge=0)
    train_images: int | None = Field(default=None, ge=1)
    test_images: int | None = Field(default=None, ge=1)
    calibration_images: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=100, ge=1)
    precision: Precision = "auto"
    sweep_precision: Precision = "auto"
    probe: str = ""
    threads: int | None = Field(default=None, ge=1, le=1024)
    ann: AnnTraining = AnnTraining()
    direct: Training = Training()
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    paper: tuple[PaperRow, ...] = ()
    parts: tuple[dict[str, Any], ...] = ()

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, value: Any) -> Any:
        """A number n means the seeds 0 … n−1."""
        if isinstance(value, bool | float | str):
            raise ValueError("must be a number of seeds or a list of seeds")
        if isinstance(value, int) and value > MOST_SEEDS:
            raise ValueError(f"must be at most {MOST_SEEDS} seeds")
        return tuple(range(value)) if isinstance(value, int) else value

    @field_validator("datasets", "architectures", "methods", "seeds")
    @classmethod
    def _not_empty(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if not value:
            raise ValueError("must name at least one")
        named = [entry for entry in value if entry != ""]  # that one is unknown, even twice
        if len(set(named)) != len(named):
            raise ValueError("names one entry twice")
        return value

    @field_validator("seeds")
    @classmethod
    def _seed_range(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 0 <= seed < 2**31 for seed in value):
            raise ValueError("seeds must lie in [0, 2147483647]")
        return value

    @field_validator("sweep_precision")
    @classmethod
    def _one_of_sweeps(cls, value: Precision, info: ValidationInfo) -> Precision:
        asked = info.data.get("precision")
        if asked in WHOLE_NUMBERS and value not in ("auto", asked):
            raise ValueError(
                f'must be "auto" or "{asked}", since precision = "{asked}" is for sweeps'
            )
        return value

    @field_validator("parts")
    @classmethod
    def _part_keys(cls, value: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        unknown = sorted({key for part in value for key in part} - PART_KEYS)
        if unknown:
            allowed = ", ".join(sorted(PART_KEYS))
            raise ValueError(f"a part cannot set {', '.join(unknown)}; allowed: {allowed}")
        return value

    def divided(self) -> tuple[Study, ...]:
        """The parts as studies without parts; the study itself where it has none."""
        if not self.parts:
            return (self,)
        shared = self.model_dump(exclude={"parts"}, exclude_none=True)
        return tuple(Study.model_validate({**shared, **part}) for part in self.parts)

    def every(self, key: Literal["datasets", "architectures", "methods"]) -> tuple[str, ...]:
        """The names that any part uses, in the order of the parts."""
        return tuple(dict.fromkeys(name for part in self.divided() for name in getattr(part, key)))

    def base_method(self, method: str) -> str:
        """The registered method behind a name of this study."""
        return self.variants[method].method if method in self.variants else method

    def check_names(self) -> None:
        """Raise StudyError for a data set, architecture, method or variant that does not exist."""
        for dataset in (*self.every("datasets"), *self.events):
            catalogue.check("datasets", dataset)
        for architecture in self.every("architectures"):
            catalogue.check("architectures", architecture)
        for name, variant in self.variants.items():
            taken = catalogue.is_method(name) or name in ANNS
            if variant.method in self.variants or taken:
                raise StudyError(
                    f"variant {name!r}: a variant needs a name of its own and a registered method"
                )
            catalogue.check_method(variant.method, also=())
        for method in self.every("methods"):
            catalogue.check_method(method, also=tuple(self.variants))
        for method in self.options:
            catalogue.check_method(method, also=(QUANTISED_ANN, *self.variants))


def builtin_studies() -> list[str]:
    """Names of the studies that come with isospike; first-look first."""
    names = sorted(
        Path(entry.name).stem
        for entry in resources.files(STUDIES).iterdir()
        if entry.name.endswith(".toml")
    )
    return sorted(names, key=lambda name: name != "first-look")


def load_study(reference: str) -> Study:
    """A built-in study by name, or the one in a TOML file.

    Raises StudyError in one line for an unknown name, broken TOML, an unknown key or a bad value.
    """
    known = builtin_studies()
    path = Path(reference)
    if reference in known:
        text = resources.files(STUDIES).joinpath(f"{reference}.toml").read_text("utf-8")
        return parse_study(text, reference, where=f"study {reference}")
    if path.suffix != ".toml" and not path.is_file():
        raise StudyError(
            f"unknown study {reference!r}; {nearest(reference, known)}built-in studies: "
            f"{', '.join(known)}; or give the path of a TOML file"
        )
    if not path.is_file():
        raise StudyError(f"study file {reference} does not exist")
    try:
        text = path.read_text("utf-8-sig")  # some editors put a mark in front
    except (UnicodeDecodeError, OSError) as error:
        raise StudyError(f"study file {reference} cannot be read: {error}") from error
    return parse_study(text, path.stem, where=f"study file {reference}")


def parse_study(text: str, name: str, *, where: str) -> Study:
    """A study from TOML text; `name` is used where the text gives none."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StudyError(f"{where} is not valid TOML: {error}") from error
    except RecursionError as error:
        raise StudyError(f"{where} has arrays or tables too deep within each other") from error
    if "name" not in content and not re.match(NAME, name):
        raise StudyError(
            f"{where} gives the study no name, and its own is none: write name = "
            f'"..." into it, of letters from A to Z, digits, ".", "_" and "-", got {name!r}'
        )
    content.setdefault("name", name)
    return build_study(_on_base(content, where), where=where)


def _on_base(content: dict[str, Any], where: str) -> dict[str, Any]:
    """A study's keys, with those of its base where it is silent; its differences come on top."""
    if "base" not in content:
        return content
    taken = _inherited(content["base"], where)
    own = {key: value for key, value in content.items() if key != "base"}
    if isinstance(own.get("differences"), list):
        own["differences"] = [*taken.get("differences", ()), *own["differences"]]
    return {**taken, **own}


def _inherited(base: Any, where: str) -> dict[str, Any]:
    """What a study takes from the built-in study that it names as its base."""
    if base not in builtin_studies():
        raise StudyError(
            f"{where}: base must be a built-in study ({', '.join(builtin_studies())}), got {base!r}"
        )
    text = resources.files(STUDIES).joinpath(f"{base}.toml").read_text("utf-8")
    content = _on_base(tomllib.loads(text), f"study {base}")
    return {key: value for key, value in content.items() if key not in OF_ITS_OWN}


def build_study(content: dict[str, Any], *, where: str) -> Study:
    """A checked study from plain values; StudyError in one line otherwise."""
    try:
        study = Study.model_validate(content)
        study.divided()
    except ValidationError as error:
        raise StudyError(f"{where}: {_explain(error)}") from error
    study.check_names()
    return study


TABLES: dict[str, type[BaseModel]] = {
    "ann": AnnTraining, "direct": Training, "training": Training, "variants": Variant,
    "events": Frames, "paper": PaperRow,
}  # fmt: skip


def _known(path: tuple[int | str, ...]) -> list[str]:
    """The keys of the table that stands there in a study file."""
    table: type[BaseModel] = Study
    for name in path:
        table = TABLES.get(str(name), table)
    return [*table.model_fields, *(["base"] if table is Study and not path else [])]


def _place(path: tuple[int | str, ...]) -> tuple[str, str]:
    """The row of a list of tables that a problem is in, or nothing, and the key."""
    row = ""
    if path[0] == "paper" and len(path) > 2:
        row, path = f"[[paper]] row {int(path[1]) + 1}: ", path[2:]
    return row, ".".join(map(str, path))


def _explain(error: ValidationError) -> str:
    """The first problem in one line: which key, what is allowed, what came."""
    problem = error.errors()[0]
    row, key = _place(problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _known(problem["loc"][:-1])
        hint = nearest(str(problem["loc"][-1]), known)
        return f"{row}unknown key {key!r}; {hint}known: {', '.join(known)}"
    message = problem["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list")
    return f"{row}{key}: {message}, got {problem['input']!r}"[:400]
