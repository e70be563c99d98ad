"""The tables of a study file: trainings, variants, frames of recordings, rows of papers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
)

from network.recipe import Optimiser, Schedule

Encoding = Literal["constant", "poisson", "poisson-signed", "poisson-total", "events"]


def _timesteps(value: tuple[int, ...]) -> tuple[int, ...]:
    if not value or any(t < 1 for t in value):
        raise ValueError("must be timesteps of at least 1")
    if len(set(value)) != len(value):
        raise ValueError("names one entry twice")
    return value


def _number(value: Any) -> int | float:
    """As it is written, so that 14 is not shown as 14.0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number")
    return value


def _leaves(annotation: Any) -> Iterable[Any]:
    """The types that an annotation is made of."""
    inner = get_args(annotation)
    if not inner:
        return [annotation]
    return [leaf for part in inner for leaf in _leaves(part)]


TrainTimesteps = Annotated[tuple[int, ...], AfterValidator(_timesteps)]
Number = Annotated[int | float, PlainValidator(_number)]


class Table(BaseModel):
    """A table of a study file: no unknown keys, no infinite numbers, and no value of another type
    that could be read as one of its own (true as 1, "8" as 8, 1 as true)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_look_alikes(cls, value: Any, info: ValidationInfo) -> Any:
        allowed = set(_leaves(cls.model_fields[info.field_name or ""].annotation))
        for entry in value if isinstance(value, list | tuple) else (value,):
            if (
                isinstance(entry, bool | str)
                and allowed & {int, float}
                and not (allowed & {type(entry), Any})
            ):
                raise ValueError("must be a number")
            if isinstance(entry, int | str) and bool in allowed and type(entry) not in allowed:
                raise ValueError("must be true or false")
        return value


class Training(Table):
    """Overrides of a training recipe (network.recipe.Recipe); what is absent keeps its default."""

    epochs: int | None = Field(default=None, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    optimiser: Optimiser | None = None
    learning_rate: float | None = Field(default=None, gt=0)
    weight_decay: float | None = Field(default=None, ge=0)
    momentum: float | None = Field(default=None, ge=0, lt=1)
    nesterov: bool | None = None
    schedule: Schedule | None = None
    milestones: tuple[int, ...] | None = None
    gamma: float | None = Field(default=None, gt=0, le=1)
    warm_up: float | None = Field(default=None, ge=0, lt=1)
    bias_rate: float | None = Field(default=None, gt=0)
    lookahead: bool | None = None
    whitened: bool | None = None
    identity: bool | None = None
    fixed_scales: bool | None = None
    clip_gradient: float | None = Field(default=None, gt=0)

    def overrides(self) -> dict[str, Any]:
        """The fields that were given."""
        return self.model_dump(exclude_none=True)


class AnnTraining(Training):
    """Overrides of an ANN's recipe (network.recipe.AnnRecipe).

    epochs: 0 takes a network of the user's with the weights that it comes with.
    """

    epochs: int | None = Field(default=None, ge=0)
    label_smoothing: float | None = Field(default=None, ge=0, lt=1)
    score_scale: float | None = Field(default=None, gt=0)


class Variant(Table):
    """A method under another name, with settings of its own."""

    method: str
    options: dict[str, Any] = Field(default_factory=dict)
    training: Training = Training()
    train_timesteps: TrainTimesteps | None = None
    encoding: Encoding | None = None
    batch_norm: bool | None = None
    dropout: float | None = Field(default=None, ge=0, lt=1)

    def setting(self) -> dict[str, Any]:
        """What its network, and the ANN it may start from, have otherwise than the study's."""
        return self.model_dump(include={"encoding", "batch_norm", "dropout"}, exclude_none=True)


class Frames(Table):
    """How the recordings of an event data set become frames (compare.data.events.Binning)."""

    timesteps: int = Field(ge=1)
    size: int | None = Field(default=None, ge=1)
    window_ms: float | None = Field(default=None, gt=0)


class PaperRow(Table):
    """A published number beside ours (reports.tables.paper); what is absent may be anything."""

    model_config = ConfigDict(strict=True)

    dataset: str | None = None
    architecture: str | None = None
    method: str | None = None
    train_timesteps: int | None = Field(default=None, ge=1)
    measure: str | None = None
    value: Number | None = None
    unit: str | None = None
    source: str | None = None
    timestep: int | None = Field(default=None, ge=0)
    label: str | None = None
