"""Normalizing flows for keras-ar: bijectors, heads for them, and the models of the papers."""

from keras_ar_flows import graphs
from keras_ar_flows.act_norm import ActNorm
from keras_ar_flows.affine import Affine
from keras_ar_flows.attention_network import AttentionNetwork
from keras_ar_flows.categorical_flow import CategoricalFlow
from keras_ar_flows.chain import Chain
from keras_ar_flows.coupling import Coupling
from keras_ar_flows.dequantized import Dequantized
from keras_ar_flows.elementwise_affine import ElementwiseAffine
from keras_ar_flows.elementwise_spline import ElementwiseSpline
from keras_ar_flows.flow_plus_plus import FlowPlusPlus
from keras_ar_flows.gated_network import GatedNetwork
from keras_ar_flows.glow import Glow
from keras_ar_flows.graph_cnf import GraphCNF
from keras_ar_flows.graph_network import GraphNetwork
from keras_ar_flows.iaf import IAF
from keras_ar_flows.invertible_conv1x1 import InvertibleConv1x1
from keras_ar_flows.logistic_mixture import LogisticMixture
from keras_ar_flows.logit import Logit
from keras_ar_flows.lu_linear import LULinear
from keras_ar_flows.maf import MAF
from keras_ar_flows.multi_scale import MultiScale
from keras_ar_flows.neural_spline_flow import NeuralSplineFlow
from keras_ar_flows.nice import NICE
from keras_ar_flows.planar import Planar
from keras_ar_flows.planar_flow import PlanarFlow
from keras_ar_flows.radial import Radial
from keras_ar_flows.radial_flow import RadialFlow
from keras_ar_flows.real_nvp import RealNVP
from keras_ar_flows.set_flow import SetFlow
from keras_ar_flows.shift import Shift
from keras_ar_flows.squeeze import Squeeze

__all__ = [
    "IAF",
    "MAF",
    "NICE",
    "ActNorm",
    "Affine",
    "AttentionNetwork",
    "CategoricalFlow",
    "Chain",
    "Coupling",
    "Dequantized",
    "ElementwiseAffine",
    "ElementwiseSpline",
    "FlowPlusPlus",
    "GatedNetwork",
    "Glow",
    "GraphCNF",
    "GraphNetwork",
    "InvertibleConv1x1",
    "LULinear",
    "LogisticMixture",
    "Logit",
    "MultiScale",
    "NeuralSplineFlow",
    "Planar",
    "PlanarFlow",
    "Radial",
    "RadialFlow",
    "RealNVP",
    "SetFlow",
    "Shift",
    "Squeeze",
    "graphs",
]
