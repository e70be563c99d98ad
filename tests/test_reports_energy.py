"""Energy models against sums done by hand."""

import math

import pytest

import reports
from compare.catalogue import entries
from reports.energy import (
    CONSTANTS,
    ENERGIES,
    EnergyError,
    activation_bits,
    break_even,
    energy_pj_per_image,
    horowitz_fp32,
    horowitz_int32,
    lemaire,
    matched_qnn,
    standing,
)
from reports.lookup import UnknownNameError
from reports.tables import energies
from tests.synthetic_study import write_study


def test_simple_models():
    # 10 * 0.9 + 2 * 4.6 = 18.2; 10 * 0.1 + 2 * 3.2 = 7.4
    assert horowitz_fp32(10, 2) == pytest.approx(18.2)
    assert horowitz_int32(10, 2) == pytest.approx(7.4)
    assert energy_pj_per_image(model="horowitz-fp32", ac=10, mac=2) == horowitz_fp32(10, 2)


def test_break_even():
    # 4.6 / 0.9 and 3.2 / 0.1 additions for one multiply-add
    assert break_even("horowitz-fp32") == pytest.approx(5.1111, abs=1e-4)
    assert break_even("horowitz-int32") == pytest.approx(32.0)
    assert list(standing(0.2).values()) == [True, True, False, True]
    assert list(standing(2.0).values()) == [True, False, False, False]


def test_matched_bits():
    # T = 7: 3 bits; 3.1 * (32 * 3) / 1024 + 0.1 = 0.390625
    assert [activation_bits(t) for t in (1, 2, 3, 4, 7, 8)] == [1, 2, 2, 3, 3, 4]
    assert matched_qnn(1.0, 7) == pytest.approx(0.390625)
    # 8 bits by 8 bits: 3.1 * 64 / 1024 + 0.1 / 4 = 0.21875, Horowitz 0.2 + 0.03 within 5 %
    assert matched_qnn(1.0, 255, weight_bits=8) == pytest.approx(0.21875)


@pytest.mark.parametrize("counts", [(-1.0, 0.0), (0.0, math.nan)])
def test_counts_that_are_none_raise(counts):
    with pytest.raises(EnergyError, match="at least 0"):
        horowitz_fp32(*counts)


def test_models_that_need_more_say_so():
    with pytest.raises(EnergyError, match="needs layers"):
        energy_pj_per_image("lemaire", 1.0, 1.0)
    with pytest.raises(UnknownNameError, match="did you mean 'horowitz-fp32'"):
        energy_pj_per_image("horowitz-fp3", 1.0, 1.0)


def linear(**changes):
    return {
        "kind": "hidden",
        "in_channels": 2,
        "out_channels": 3,
        "kernel_height": 1,
        "kernel_width": 1,
        "stride": 1,
        "out_height": 1,
        "out_width": 1,
        "mac_per_image": 0.0,
        "spikes_per_image": 2.0,
        "input_spikes_per_image": 4.0,
    } | changes


def access(elements, bits=32):
    return 1.09e-5 * elements * bits + 13.2


def test_lemaire_ann_linear():
    # 3 bias additions, 6 multiply-adds; reads: 2 inputs, 6 weights, 3 biases; writes: 3 outputs
    arithmetic = 3 * 0.1 + 6 * 3.2
    memory = 2 * access(2) + 6 * access(6) + 3 * access(3) + 3 * access(3)
    assert lemaire([linear()], 0) == pytest.approx(arithmetic + memory)


def test_lemaire_spiking_linear():
    # 4 spikes in, 3 neurons, T = 5, 2 spikes out: 4*3 + 5*3 + 2 = 29 additions;
    # addressing 2*4 multiply-adds and 4*3 additions; 12 weights read; 2 * (12 + 15) potentials
    arithmetic = (29 + 12) * 0.1 + 8 * 3.2
    memory = 12 * access(6) + 2 * 27 * access(3)
    assert lemaire([linear()], 5) == pytest.approx(arithmetic + memory)
    leak = lemaire([linear()], 5, leak=True) - lemaire([linear()], 5)
    assert leak == pytest.approx(15 * 3.2)  # one multiply-add for each neuron and step


def test_lemaire_spiking_convolution():
    # 1 -> 2 channels, 3 x 3, stride 2, 4 x 4 outputs; 10 spikes in, 6 out, T = 3
    row = linear(
        in_channels=1, out_channels=2, kernel_height=3, kernel_width=3, stride=2,
        out_height=4, out_width=4, input_spikes_per_image=10.0, spikes_per_image=6.0,
    )  # fmt: skip
    # ceil(3/2)^2 * 2 = 8 additions a spike: 80 + 3*32 + 6 = 182; addressing 10*2*9 = 180 and 20
    arithmetic = (182 + 180) * 0.1 + 20 * 3.2
    # weights 10*2*9 = 180 of 18; potentials 2 * (180 + 96) of 32; inputs 10 of 1*16*4 bits;
    # biases 96 of 2; outputs 6 of 32 bits
    memory = (
        180 * access(18) + 2 * 276 * access(32) + 10 * access(64, 1) + 96 * access(2)
        + 6 * access(32, 1)
    )  # fmt: skip
    assert lemaire([row], 3) == pytest.approx(arithmetic + memory)


def test_lemaire_spiking_grouped_convolution():
    # 4 -> 8 channels in 4 groups, 3 x 3, stride 2, 4 x 4 outputs; 10 spikes in, 6 out, T = 3
    row = linear(
        in_channels=1, out_channels=8, kernel_height=3, kernel_width=3, stride=2, groups=4,
        out_height=4, out_width=4, input_spikes_per_image=10.0, spikes_per_image=6.0,
    )  # fmt: skip
    # a spike reaches 8 / 4 = 2 channels: ceil(3/2)^2 * 2 = 8 additions: 80 + 3*128 + 6 = 470;
    # addressing 10*2*9 = 180 and 20
    arithmetic = (470 + 180) * 0.1 + 20 * 3.2
    # weights 180 of 1*8*9 = 72; potentials 2 * (180 + 384) of 128; inputs 10 of 4*16*4 bits;
    # biases 384 of 8; outputs 6 of 128 bits
    memory = (
        180 * access(72) + 2 * 564 * access(128) + 10 * access(256, 1) + 384 * access(8)
        + 6 * access(128, 1)
    )  # fmt: skip
    assert lemaire([row], 3) == pytest.approx(arithmetic + memory)


def test_lemaire_spiking_pooling():
    # 2 × 2 with stride 2 over 3 channels, 2 x 2 outputs; 20 spikes in, 7 out, T = 3
    row = linear(
        kind="pooling", operation="AvgPool2d", in_channels=1, out_channels=3, groups=3, stride=2,
        kernel_height=2, kernel_width=2, out_height=2, out_width=2,
        input_spikes_per_image=20.0, spikes_per_image=7.0,
    )  # fmt: skip
    # a spike reaches one output: 20 + 3*12 + 7 = 63 additions; addressing 2*20 multiply-adds and
    # 20*4 = 80 additions
    arithmetic = (63 + 80) * 0.1 + 40 * 3.2
    # weights 80 of 3*4; potentials 2 * (80 + 36) of 12; inputs 20 of 3*4*4 bits; biases 36 of 3;
    # outputs 7 of 12 bits
    memory = (
        80 * access(12) + 2 * 116 * access(12) + 20 * access(48, 1) + 36 * access(3)
        + 7 * access(12, 1)
    )  # fmt: skip
    assert lemaire([row], 3) == pytest.approx(arithmetic + memory)
    # its neurons do not leak, whatever those of other layers do
    assert lemaire([row], 3, leak=True) == lemaire([row], 3)
    both = lemaire([linear(), row], 3, leak=True)
    assert both == pytest.approx(lemaire([linear()], 3, leak=True) + lemaire([row], 3))


def test_lemaire_ann_grouped_convolution():
    # 4 -> 8 channels in 4 groups, 3 x 3, 4 x 4 outputs: 128 biases, 128*1*9 = 1152 multiply-adds
    row = linear(
        in_channels=1, out_channels=8, kernel_height=3, kernel_width=3, groups=4,
        out_height=4, out_width=4, mac_per_image=1152.0,
    )  # fmt: skip
    arithmetic = 128 * 0.1 + 1152 * 3.2
    # inputs of 4*16 numbers, weights of 8*9, biases of 8, outputs of 128
    memory = 1152 * (access(64) + access(72)) + 128 * (access(8) + access(128))
    assert lemaire([row], 0) == pytest.approx(arithmetic + memory)


@pytest.mark.parametrize("groups", [{}, {"groups": None}, {"groups": math.nan}])
def test_lemaire_reads_records_without_groups_as_one_group(groups):
    assert lemaire([linear(**groups)], 5) == lemaire([linear(groups=1)], 5)


def test_lemaire_convolution_along_a_line():
    # 2 -> 3 channels, kernel 3, stride 2, 5 places out: 15 biases, 15*2*3 = 90 multiply-adds
    row = linear(operation="Conv1d", kernel_width=3, stride=2, out_width=5, mac_per_image=90.0)
    # inputs of 2*5*2 numbers, weights of 2*3*3, biases of 3, outputs of 15
    memory = 90 * (access(20) + access(18)) + 15 * (access(3) + access(15))
    assert lemaire([row], 0) == pytest.approx(15 * 0.1 + 90 * 3.2 + memory)
    # 4 spikes in, 2 out, T = 5: ceil(3/2)*3 = 6 additions each, 75 updates; addressing 4*3*3 = 36
    spiking = linear(operation="Conv1d", kernel_width=3, stride=2, out_width=5)
    memory = (
        36 * access(18) + 2 * (36 + 75) * access(15) + 4 * access(20, 1) + 75 * access(3)
        + 2 * access(15, 1)
    )  # fmt: skip
    arithmetic = (24 + 75 + 2 + 36) * 0.1 + 8 * 3.2
    assert lemaire([spiking], 5) == pytest.approx(arithmetic + memory)


def test_lemaire_analogue_first_layer_costs_the_ann_once():
    row = linear(mac_per_image=6.0, input_spikes_per_image=math.nan)
    # ANN layer once; then T = 5: 15 increments, potentials read and written, 2 spikes written
    more = (15 + 2) * 0.1 + 2 * 15 * access(3) + 2 * access(3, 1)
    assert lemaire([row], 5) == pytest.approx(lemaire([row], 0) + more)


def test_lemaire_prices_a_shortcut_beside_the_layer_that_it_adds_to():
    # T = 5: 12 additions by 4 spikes, addressing as ever; no update, bias or spike of its own
    shortcut = linear(kind="shortcut", spikes_per_image=math.nan)
    more = lemaire([linear(), shortcut], 5, leak=True) - lemaire([linear()], 5, leak=True)
    assert more == pytest.approx((12 + 12) * 0.1 + 8 * 3.2 + 12 * access(6) + 2 * 12 * access(3))
    assert lemaire([linear(), shortcut], 0) == pytest.approx(2 * lemaire([linear()], 0))


def test_lemaire_leaks_in_an_analogue_layer_too():
    row = linear(mac_per_image=6.0, input_spikes_per_image=math.nan)
    assert lemaire([row], 5, leak=True) - lemaire([row], 5) == pytest.approx(15 * 3.2)


def test_lemaire_leaks_once_where_an_analogue_shortcut_adds_to_a_layer():
    row = linear(kind="shortcut", mac_per_image=6.0, input_spikes_per_image=math.nan)
    assert lemaire([row], 5, leak=True) == lemaire([row], 5)


def test_lemaire_prices_the_output_layer_too():
    row = linear(kind="output", spikes_per_image=math.nan)
    # 4 spikes in: 12 additions and 15 increments; addressing 8 multiply-adds and 12 additions
    arithmetic = (27 + 12) * 0.1 + 8 * 3.2
    assert lemaire([row], 5) == pytest.approx(arithmetic + 12 * access(6) + 2 * 27 * access(3))


def test_lemaire_takes_a_map_of_several_places_for_no_linear_layer():
    # 2 -> 3 channels, 1 x 1, 4 x 4 outputs: every one of 96 products reads its input, of 32
    row = linear(out_height=4, out_width=4, mac_per_image=96.0)
    memory = 96 * (access(32) + access(6)) + 48 * (access(3) + access(48))
    assert lemaire([row], 0) == pytest.approx(48 * 0.1 + 96 * 3.2 + memory)


def test_lemaire_takes_a_layer_that_multiplies_at_every_step():
    lemaire([linear(mac_per_image=5 * 6.0, input_spikes_per_image=math.nan)], 5)
    with pytest.raises(EnergyError, match="several convolutions"):
        lemaire([linear(mac_per_image=5 * 6.0 + 1, input_spikes_per_image=math.nan)], 5)


def test_lemaire_refuses_a_row_that_stands_for_several_convolutions():
    with pytest.raises(EnergyError, match="several convolutions"):
        lemaire([linear(mac_per_image=7.0)], 0)  # the layer has 6 multiply-adds


def test_lemaire_needs_a_synaptic_layer():
    with pytest.raises(EnergyError, match="synaptic"):
        lemaire([linear(kind="input")], 5)


def test_a_standing_says_against_what_and_what_it_means(tmp_path):
    write_study(tmp_path, methods=("bptt",), seeds=1, timesteps=(8, 32))
    table = energies(reports.study(tmp_path))
    places = [i for i, column in enumerate(table.columns) if "break-even" in column.name]
    assert [table.columns[place].heading for place in places] == [
        f"Spikes per synapse against break-even, {model} (above: the ANN costs less)"
        for model in standing(0.0)
    ]
    (row,) = table.rows  # 110 spikes and 60 ACs each in 8 steps over 120,000 MACs: 0.44
    words = [row[place].text for place in places]
    assert words == ["below", "below", "above", "above"]  # 5.1, 1.38, 0.15, 0.29
    assert "matched-qnn prices arithmetic alone" in " ".join(table.notes)


def test_every_model_and_constant_has_a_source():
    assert {"horowitz-fp32", "horowitz-int32", "lemaire", "matched-qnn"} == set(ENERGIES)
    assert entries("energies") == {name: model.summary for name, model in ENERGIES.items()}
    for model in ENERGIES.values():
        assert f"[pJ; lower is better; {model.source}]" in model.summary
        assert model.definition.endswith(".")
        assert model.source
    for constant in CONSTANTS.values():
        assert constant.value > 0
        assert constant.source
        assert constant.unit
