"""One length for the vectors of encoders that did not train together.

A network that was pretrained elsewhere gives vectors of any length: of the same images 16 or 55, of
texts 4 or 7. Side by side the longest drowns the others, and what one learning rate fits to one of
them it learns by heart of another. So features of pretrained networks are cut to length before
anything is learnt of them: Chatfield, Simonyan, Vedaldi & Zisserman, "Return of the Devil in the
Details: Delving Deep into Convolutional Nets", BMVC 2014.
"""

from torch import Tensor

from mmbench.types import Encoded

LENGTH = 8.0
"""Of a vector, however wide: that of 64 standardised numbers. A step of the optimiser moves each
weight by as much, so that without it the wide would learn by heart at the usual rates."""
TINY = 1e-6
"""Added to squared lengths: what is all zeros stays so, and has a slope."""


def to_length(encoded: Encoded) -> Encoded:
    """Each value times the factor that makes its pooled vector ``LENGTH`` long.

    Tokens keep their proportions, and a pooled vector that is their mean stays it.
    """
    factor: Tensor = LENGTH / (encoded.pooled.square().sum(1, keepdim=True) + TINY).sqrt()
    return Encoded(encoded.tokens * factor.unsqueeze(1), encoded.mask, encoded.pooled * factor)
