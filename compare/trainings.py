"""What a study may set of its trainings: overrides of recipes, checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from network.recipe import Optimiser, Schedule


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


def _leaves(annotation: Any) -> Iterable[Any]:
    """The types that an annotation is made of."""
    inner = get_args(annotation)
    if not inner:
        return [annotation]
    return [leaf for part in inner for leaf in _leaves(part)]


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
    """Overrides of an ANN's recipe (network.recipe.AnnRecipe)."""

    label_smoothing: float | None = Field(default=None, ge=0, lt=1)
    score_scale: float | None = Field(default=None, gt=0)
