"""Training values changed at random so that their label stays: what each kind of modality may get.

Each is a setting of training, off by default, and acts on what an encoder that trains reads, never
on features of a frozen one, which are computed once. Mixup, which mixes features and labels, is an
objective. SpecAugment is part of the encoder that has a spectrogram.
"""

from mmbench.augmentation.settings import BY_KIND, augmentations, in_effect, offered

__all__ = ["BY_KIND", "augmentations", "in_effect", "offered"]
