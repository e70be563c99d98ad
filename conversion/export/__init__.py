"""Converted networks as files: NIR for other simulators, a plain form that loads back here."""

from conversion.export.nir_graph import nir_graph, write_nir
from conversion.export.plain import load_plain, save_plain

__all__ = ["load_plain", "nir_graph", "save_plain", "write_nir"]
