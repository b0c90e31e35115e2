"""The distributions of TensorFlow Probability as heads of keras-ar."""

from keras_ar_tfp.tfp_head import TFPHead

__all__ = ["TFPHead"]
