"""Why a trained model says what it says of one sample: which modality, and which part of it."""
