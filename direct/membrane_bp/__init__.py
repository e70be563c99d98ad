"""Lee 2016: spiking networks trained through their membrane potentials."""

from direct.membrane_bp.group import EventNeuron
from direct.membrane_bp.neuron import EventDynamics
from direct.membrane_bp.rule import membrane_bp

__all__ = ["EventDynamics", "EventNeuron", "membrane_bp"]
