"""A saved model that answers: raw values in, as a user has them, predictions out."""

from mmbench.predicting.prediction import EMPTY, Prediction
from mmbench.predicting.predictor import Predictor, Sample, Times, load_model

__all__ = ["EMPTY", "Prediction", "Predictor", "Sample", "Times", "load_model"]
