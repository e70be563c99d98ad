"""The papers' studies: what they name exists, and a micro version of every kind of case runs."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from compare.cases import Case, expand, representation_of
from compare.data.arrays import ArrayImages, Dataset, EventArrays
from compare.estimate import SIZES
from compare.method_facts import method_facts
from compare.prepared import load_dataset, represent
from compare.run import Workplace, run_case
from compare.store import RECORD_COLUMNS, Store
from compare.studies_page import PAGE, page
from compare.study import builtin_studies, load_study
from compare.study_tables import Frames
from network.architectures import Geometry, build, describe
from reports.figures import FIGURES
from reports.tables.paper_measures import PAPER_MEASURES
from reports.tables.paper_table import KEYS
from tests.test_data_events import needs_tonic, write_nmnist

PAPERS = [
    *(f"lee2020-{part}" for part in ("table7", "table8", "table9")),
    *(f"lee2020-figure{number}" for number in (7, 8, 9, 10, 11)),
    *(f"ledinauskas2020-table{number}" for number in (1, 2, 3)),
    *(f"ledinauskas2020-figure{number}" for number in (2, 3, 4, 5, 6)),
    *(f"zheng2021-table{number}" for number in (1, 2, 3, 6)),
    *(f"zheng2021-figure{number}" for number in (2, 3, 4, 6)),
    "lee2016-table2",
    "lee2016-figure1a",
    "conversion-table",
]


IMAGES, STEPS = 16, 3


@cache
def cases_of(name: str) -> list[Case]:
    study = load_study(name).model_copy(update={"precision": "float32", "threads": 1})
    methods = sorted({study.base_method(method) for method in study.every("methods")})
    return expand(study, method_facts(methods), sweep_precision="float32")


@pytest.mark.parametrize("name", PAPERS)
def test_a_study_says_what_it_shows_and_what_it_takes(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    assert study.title
    assert study.source
    assert study.differences
    assert "Unlike the" not in study.description, "belongs into differences, which reports list"
    assert study.expected_minutes is not None
    assert study.expected_minutes_h100 is not None
    if "Figure" in study.description:
        words = study.description.replace(",", " ").replace(".", " ").replace(";", " ").split()
        assert set(words) & set(FIGURES), "names no figure of the reports"
    assert {case.dataset for case in cases_of(name)} == set(study.every("datasets"))


@pytest.mark.parametrize("name", PAPERS)
def test_every_published_number_has_a_record_to_stand_beside(name: str) -> None:
    for row in load_study(name).paper:
        assert set(KEYS) <= {*RECORD_COLUMNS}
        assert row.source
        assert row.measure in (None, *PAPER_MEASURES)
        wanted = {key: said for key in KEYS if (said := getattr(row, key)) is not None}
        assert {"dataset", "architecture", "method"} <= set(wanted)
        found = [
            case
            for case in cases_of(name)
            if all(getattr(case, key) == value for key, value in wanted.items())
        ]
        assert found, f"no case for {row}"
        reached = max(case.timesteps for case in found)
        assert (row.timestep or 0) <= reached, row


def test_tables_of_one_paper_share_their_cases() -> None:
    """Tables 8 and 9 are the same cases; table 7 adds N-MNIST, figures 9 to 11 take some."""
    table = {json.dumps(case.specification()) for case in cases_of("lee2020-table9")}
    for name in ("lee2020-table8", "lee2020-figure9", "lee2020-figure10", "lee2020-figure11"):
        assert {json.dumps(case.specification()) for case in cases_of(name)} <= table
    more = {json.dumps(c.specification()) for c in cases_of("lee2020-table7")}
    assert table < more
    assert all('"dataset": "nmnist"' in text for text in more - table)


@pytest.mark.parametrize("name", PAPERS)
def test_digits_are_trained_on_as_they_are(name: str) -> None:
    """None of the papers moves the images of MNIST: Lee 2020 crops and flips colour images alone
    (section 4.1.4), Ledinauskas 2020 and Lee 2016 say none (sections 3.1 and 6)."""
    found = {case.augmentation for case in cases_of(name) if case.dataset == "mnist"}
    assert found <= {"none"}


def test_the_page_of_studies_is_current() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `make studies`"
    assert set(PAPERS) <= set(builtin_studies())


@pytest.mark.parametrize("name", PAPERS)
def test_every_network_fits_its_data(name: str) -> None:
    for dataset, architecture in {(c.dataset, c.architecture) for c in cases_of(name)}:
        size = SIZES[dataset]
        build(architecture, Geometry(*size.shape, size.classes), width=0.02, seed=0)


def micro(case: Case) -> Case:
    """The case on a tenth of the width, for one epoch and at most three steps."""
    training = {k: v for k, v in case.training.items() if k not in ("milestones", "schedule")}
    return replace(
        case,
        seed=0,
        width=0.1,
        timesteps=min(case.timesteps, STEPS),
        train_timesteps=None if case.train_timesteps is None else 2,
        calibration_images=8 if case.arm == "converted" else None,
        training={**training, "epochs": 1, "batch_size": 8} if case.arm != "converted" else {},
        ann=None if case.ann is None else micro(case.ann),
    )


def kinds() -> Iterator[Case]:
    """One case for each method, its settings, and its kind of input: on the shallowest network."""
    chosen: dict[str, Case] = {}
    for name in PAPERS:
        for case in cases_of(name):
            setting = (case.base, dict(case.options), case.encoding, case.batch_norm, case.dropout)
            kind = repr((*setting, SIZES[case.dataset].shape[0]))
            if kind not in chosen or cost(case) < cost(chosen[kind]):
                chosen[kind] = case
    yield from (micro(case) for case in chosen.values())


def cost(case: Case) -> tuple[int, int]:
    size = SIZES[case.dataset]
    return describe(case.architecture).depth, size.shape[1] * size.shape[2]


def label(case: Case) -> str:
    return f"{case.method}-{case.architecture}-{case.encoding}"


KINDS = list(kinds())


def made_up(name: str) -> Dataset:
    """Noise in the shape of the data set, with every class as often as the others."""
    size = SIZES[name]
    generator = torch.Generator().manual_seed(1)
    events = name in ("nmnist", "dvs-gesture", "cifar10-dvs")
    shape = (STEPS, *size.shape) if events else size.shape
    high = 3 if events else 256
    parts = []
    for count in (IMAGES, 4, 8):
        values = torch.randint(high, (count, *shape), generator=generator).to(torch.uint8)
        labels = torch.arange(count) % min(size.classes, 10)
        parts.append(EventArrays(values, labels) if events else ArrayImages(values, labels))
    channels = size.shape[0]
    return Dataset(
        name=name,
        classes=tuple(str(k) for k in range(size.classes)),
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        official=None,
        note="made up",
        mean=(0.0 if events else 0.5,) * channels,
        std=(1.0 if events else 0.3,) * channels,
        augmentation="none",
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """One run directory for all micro cases, so that they share their ANNs."""
    store = Store(tmp_path_factory.mktemp("micro"))
    store.prepare()
    datasets = {name: made_up(name) for name in {case.dataset for case in KINDS}}
    return Workplace(store, "micro", datasets, torch.device("cpu"), 8, "test")


def run(case: Case, place: Workplace) -> Path:
    """The directory of a finished case, its ANN first."""
    name = case.identity("made up")
    ann = None if case.ann is None else run(case.ann, place).name
    if not place.store.finished(name):
        run_case(case, name, ann, place)
    return place.store.path(name)


@pytest.mark.parametrize("case", KINDS, ids=label)
def test_a_micro_version_of_every_kind_of_case_runs(case: Case, place: Workplace) -> None:
    folder = run(case, place)
    with (folder / "sweep.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    steps = [0] if case.arm == "ann" else list(range(1, case.timesteps + 1))
    assert [int(row["timestep"]) for row in rows] == steps
    assert all(0 <= float(row["accuracy"]) <= 1 for row in rows)
    if case.arm == "direct" and case.encoding != "constant":
        assert all(float(row["input_spikes_per_image"]) > 0 for row in rows)
    if case.base == "tune-width" or case.options.get("record_gradients"):
        assert (folder / "gradients.csv").is_file()


def test_an_ann_sees_the_mean_frame() -> None:
    """Counts 1, 4 and 1 of one pixel in three frames: (1 + 4 + 1)/3 = 2."""
    frames = torch.zeros(1, 3, 2, 2, 2, dtype=torch.uint8)
    frames[0, :, 1, 0, 1] = torch.tensor([1, 4, 1], dtype=torch.uint8)
    seen = represent(frames, "mean-events", (0.0, 0.0), (1.0, 1.0))
    assert seen.shape == (1, 2, 2, 2)
    assert seen[0, 1, 0, 1] == 2
    assert seen.sum() == 2
    ann = next(case for case in KINDS if case.arm == "ann" and case.encoding == "events")
    assert representation_of(ann) == "mean-events"


@needs_tonic
def test_frames_of_a_study_reach_the_data(tmp_path: Path) -> None:
    data = load_dataset(
        "nmnist",
        write_nmnist(tmp_path),
        download=False,
        validation=3,
        train_images=5,
        test_images=4,
        frames=Frames(timesteps=6, size=17),
    )
    assert data.shape == (2, 17, 17)
    assert isinstance(data.train, EventArrays)
    assert (data.train.timesteps, len(data.train), len(data.test)) == (6, 5, 4)
