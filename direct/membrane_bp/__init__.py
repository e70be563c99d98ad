"""Lee 2016: spiking networks trained through their membrane potentials."""

from direct.membrane_bp.neuron import EventDynamics, EventNeuron
from direct.membrane_bp.rule import membrane_bp

__all__ = ["EventDynamics", "EventNeuron", "membrane_bp"]
