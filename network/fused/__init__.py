"""All steps of a layer of neurons at once, forward and back: on a CUDA device and on a CPU.

The same numbers as the loops of `network.steps`, which run where neither does a layer. And an
activation of several levels on a CPU.
"""
