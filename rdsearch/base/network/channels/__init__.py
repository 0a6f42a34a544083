"""Which channels of a network's tensors belong together: what permutes, or goes, as one.

A hidden channel is a row of the layer that makes it, an entry of its bias and normalisation, and a column of every
layer that reads it. A network is watched while it runs once, call by call, and channels are followed through the calls
that keep them apart: convolutions, linear layers, normalisations of single channels, activations, pooling, flattening,
sums and products of two tensors. Channels that reach any other call, the outputs, or a sum with something unknown are
left out whole. Code that torch does not see called (compiled extensions) is not seen here either: whoever permutes or
removes channels compares the outputs before and after.
"""

from rdsearch.base.network.channels.groups import Axis, Channels
from rdsearch.base.network.channels.watch import joined_channels

__all__ = ["Axis", "Channels", "joined_channels"]
